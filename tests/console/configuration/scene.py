"""An installation with everything: every kind of row, and every field said at least once. Its secrets are canaries."""

from __future__ import annotations

from tests import cast

SECRETS = {
    "ACME_SLACK": "https://hooks.slack.com/services/T000/B000/canary-slack-9f31",
    "ACME_HOOK_URL": "https://hooks.acme.example/in/canary-hook-url-5d0c77aa",
    "ACME_HOOK_TOKEN": "Bearer canary-authorization-b71e",
    "ACME_HOOK_KEY": "canary-header-0d42",
    "ACME_SHOP_PASSWORD": "canary-basic-77ab",
    "ACME_SHOP_KEY": "canary-api-key-1c9d",
    "ANA_TOPIC": "https://ntfy.example.com/canary-topic-31aa",
    "ANA_PHONE_TOKEN": "tk_canaryntfye2f0",
    "PAGE_PASSWORD": "canary-page-4488",
    "RUNBOOK_TOKEN": "Bearer canary-runbook-6a6a",
}  # fmt: skip
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WHOLE = """\
version: 1
covers: all
clients:
  - slug: acme
    name: Acme Ltd
    timezone: Europe/Lisbon
    email: noc@acme.example
    slack_webhook: !secret ACME_SLACK
    tags: [gold, retail]
    notes: |
      Call the reception first.
      Then the plant.
    active: false
  - slug: globex
    name: Globex
sites:
  - client: acme
    name: Lisbon
    url: https://lisbon.acme.example
    address: Rua Augusta 1
    timezone: Europe/Lisbon
    tags: [south]
services:
  - client: acme
    name: Checkout
    description: Where money comes in
    incident_creation: manual
    merge_window_minutes: 15
    default_incident_severity: major
    escalation_policy: Acme by night
    auto_publish_page: acme-status
monitor_templates:
  - name: Every shop
    kind: http
    description: For all shops
    values: {interval_seconds: 30, config: {keyword: cart}, tags: [shop]}
monitors:
  - client: acme
    name: Gateway
    kind: icmp
    config: {host: gw.acme.example}
  - client: acme
    name: Shop
    kind: http
    site: Lisbon
    service: Checkout
    template: Every shop
    parent: Gateway
    config:
      url: https://shop.acme.example/health
      headers: {X-Api-Key: !secret ACME_SHOP_KEY}
      auth: basic
      user: monitor
      password: !secret ACME_SHOP_PASSWORD
    interval_seconds: 30
    timeout_seconds: 7.5
    confirmation_count: 3
    confirmation_seconds: 20
    recovery_count: 2
    recovery_seconds: 10
    degraded_latency_ms: 800
    degraded_loss_percent: 12.5
    distinct_networks: true
    quorum: 2
    probe_rule: {probes: [berlin, local]}
    severity: warning
    diagnose: false
    enabled: false
    flapping_changes: 9
    flapping_window_seconds: 900
    runbook_url: https://wiki.acme.example/shop
    notes: "Yes: no 12:30"
    tags: [prod]
  - client: acme
    name: Nightly backup
    kind: heartbeat
    slug: nightly
    config: {period_seconds: 86400, grace_seconds: 3600}
  - client: acme
    name: API
    kind: http
    probes: [berlin, local]
    config: {url: "https://api.acme.example"}
  - client: acme
    name: API
    nth: 2
    kind: http
    config: {url: "https://api2.acme.example"}
  - client: acme
    name: All of it
    kind: group
    config: {monitors: [Shop, {name: API, nth: 2}]}
channels:
  - client: acme
    name: Ops hook
    type: webhook
    config:
      url: !secret ACME_HOOK_URL
      authorization: !secret ACME_HOOK_TOKEN
      headers: {X-Key: !secret ACME_HOOK_KEY}
    enabled: false
    group_window_seconds: 120
    canary: true
  - name: Our mail
    type: email
    config: {to: [noc@msp.example]}
    rate_per_minute: 5
    monthly_quota: 900
contacts:
  - client: acme
    name: Ana
    email: ana@acme.example
    phone: "+351210000000"
    timezone: Europe/Lisbon
    ways:
      - channel: Ops hook
      - type: ntfy
        name: Ana's phone
        config: {url: !secret ANA_TOPIC, token: !secret ANA_PHONE_TOKEN}
        urgency: high
        delay_minutes: 10
        quiet_from: "22:00"
        quiet_until: "07:00"
        quiet_urgency: all
  - name: Sam
contact_groups:
  - client: acme
    name: Shop people
    contacts: [Ana]
on_call_schedules:
  - client: acme
    name: Acme nights
    timezone: Europe/Lisbon
    tell_shift_start: true
    layers:
      - contacts: [Ana]
        rotation: custom
        rotation_days: 3
        handoff_time: "08:30"
        handoff_day: 2
        starts_at: "2026-01-05T08:30:00Z"
        ends_at: "2027-01-05T08:30:00Z"
        weekdays: "0,1,2"
        from_time: "20:00"
        until_time: "06:00"
escalation_policies:
  - client: acme
    name: Acme by night
    active: false
    attached_only: true
    filters:
      severities: [critical]
      sources: [endpoint]
      scopes: [{monitor: Shop}, {service: Checkout}]
      tags: [prod]
    levels:
      - delay_seconds: 0
        channels: [Ops hook, {contact: Ana, name: Ana's phone}]
        contacts: [Ana]
      - delay_seconds: 600
        groups: [Shop people]
        schedules: [Acme nights]
    repeat_count: 2
    repeat_after_seconds: 400
    on_empty: wait
triggers:
  - name: Shops to us
    severities: [critical, warning]
    sources: [endpoint]
    scopes: [{client: acme}, {endpoint: Shop, client: acme}, {site: Lisbon, client: acme}, "endpoint:router-7"]
    tags: [prod]
    weekdays: "0,1"
    from_time: "08:00:00"
    until_time: "18:00:00"
    timezone: Europe/Lisbon
    enabled: false
    notify_on_resolve: false
    reminder_minutes: 30
    verdict_wait_seconds: 4
    channels: [Our mail, {client: acme, name: Ops hook}]
    contacts: [Sam]
    groups: [{client: acme, name: Shop people}]
message_templates:
  - client: acme
    name: Polite
    channel: Ops hook
    types: monitor.down
    title: "{{monitor}} rests"
    text: "Since {{since}}"
    enabled: false
status_pages:
  - client: acme
    slug: acme-status
    name: Acme status
    enabled: false
    visibility: password
    password: !secret PAGE_PASSWORD
    headline: How we are
    about: "Ask **us**."
    support_url: https://acme.example/help
    language: pt
    timezone: Europe/Lisbon
    theme: dark
    accent: "#112233"
    logo: PICTURE
    custom_css: ".x { color: red }"
    show_latency: true
    show_targets: true
    show_verdicts: true
    show_uptime: false
    custom_domain: status.acme.example
    publish_folder: acme
    subscriptions: false
    groups:
      - name: Payments
        collapsed: true
    components:
      - name: Shop
        description: The shop itself
        group: Payments
        monitors: [Shop]
        show_uptime: false
      - name: Checkout
        service: Checkout
playbooks:
  - client: acme
    name: Move the shop
    notes: When the line is gone
    mode: approval
    events: [monitor.down]
    scopes: [{monitor: Shop}]
    tags: [prod]
    verdict_layers: [dns]
    min_confidence: 0.9
    quorum: 3
    cooldown_seconds: 600
    hourly_cap: 2
    target_hourly_cap: 1
    blast_radius: 5
    approvals_required: 2
    approvers: [olga@msp.example, sam@msp.example]
    approval_minutes: 10
    steps:
      - kind: webhook
        config: {url: "https://automation.acme.example/move", authorization: !secret RUNBOOK_TOKEN}
      - kind: notify
        config: {channels: [Ops hook], message: Moved}
    verify_within_seconds: 60
    undo_on_failure: false
    trusted_after: 4
maintenance_windows:
  - client: acme
    title: Every Sunday
    description: Updates
    owner: Sam
    starts_at: "2026-11-01T02:00:00Z"
    ends_at: "2026-11-01T03:00:00Z"
    recurrence: FREQ=WEEKLY;BYDAY=SU
    timezone: Europe/Lisbon
    scopes: [{site: Lisbon}, {monitor: Shop}]
    tags: [prod]
""".replace("PICTURE", PICTURE)


def people() -> None:
    """Whom the playbook names: people and probes are not configuration."""
    cast.make_owner(), cast.make_staff()
    from monitors.models import Probe

    Probe.objects.get_or_create(slug="berlin", defaults={"name": "Berlin", "network": "AS1", "public_key": "enrolled"})
