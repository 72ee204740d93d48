"""Does a Gatus come over whole? Endpoints by their addresses, conditions as far as they can be said, alerts to whom they went."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from alerts.models import Channel, Trigger
from console.importing import gatus
from console.importing.draft import APPROXIMATED, LEFT_OUT, MAPPED, Draft
from console.importing.gatus_conditions import ranges
from console.importing.gatus_reading import seconds
from monitors.models import Monitor

pytestmark = pytest.mark.django_db

CONFIG = """\
metrics: true
storage: {type: sqlite, path: /data/data.db}
alerting:
  slack:
    webhook-url: "${SLACK_URL}"
    default-alert: {send-on-resolved: true, failure-threshold: 5}
    overrides:
      - group: core
        webhook-url: "https://hooks.slack.com/services/T00/B00/canary-gatus-core"
  pagerduty:
    integration-key: "canarygatuspagerduty0000000000aa"
  matrix: {server-url: "https://m.example.org"}
maintenance:
  start: 23:00
  duration: 1h30m
  timezone: Europe/Amsterdam
  every: [Monday, Thursday]
defaults: &defaults
  interval: 2m
  client: {timeout: 3s}
endpoints:
  - name: shop
    group: core
    url: "https://shop.acme.example/health"
    method: POST
    graphql: true
    body: "{ health }"
    headers: {Authorization: "Bearer ${SHOP_TOKEN}", X-Team: web}
    <<: *defaults
    conditions:
      - "[STATUS] < 300"
      - "[STATUS] != 204"
      - "[RESPONSE_TIME] < 300"
      - "[BODY].data.status == UP"
      - "len([BODY].data.list) > 2"
      - "[CERTIFICATE_EXPIRATION] > 48h"
    alerts:
      - {type: slack, description: "shop is ill"}
      - {type: pagerduty, failure-threshold: 3, minimum-reminder-interval: 1h}
      - {type: matrix}
  - name: front
    url: "https://www.acme.example/"
    interval: 1s
    enabled: false
    client: {insecure: true, ignore-redirect: true, tunnel: production}
    conditions: ["[STATUS] == any(200, 429)", "[BODY] == pat(*<h1>Welcome*)"]
    alerts: [{type: slack}]
  - {name: gw, group: core, url: "icmp://gw.acme.example", conditions: ["[CONNECTED] == true"]}
  - {name: gw, group: edge, url: "icmp://gw2.acme.example"}
  - {name: db, group: core, url: "tcp://db.acme.example:5432", conditions: ["[CONNECTED] == true"]}
  - {name: mx, url: "8.8.8.8", dns: {query-name: acme.example., query-type: MX}, conditions: ["[DNS_RCODE] == NOERROR", "[BODY] == mx.acme.example"]}
  - {name: zone, url: "udp://1.1.1.1:53", dns: {query-name: acme.example, query-type: A}, conditions: ["[BODY] == 192.0.2.7"]}
  - {name: ws, url: "wss://live.acme.example/feed", body: ping}
  - {name: mail, url: "starttls://mx.acme.example:587"}
  - {name: stream, url: "sctp://s.acme.example:38412"}
external-endpoints:
  - {name: nightly, group: jobs, token: canary-gatus-token, heartbeat: {interval: 30m}}
  - {name: pushed, token: canary-gatus-token}
suites:
  - {name: flow, endpoints: []}
"""
ENVIRON = {"SLACK_URL": "https://hooks.slack.com/services/T00/B00/canary-gatus-main", "SHOP_TOKEN": "canary-gatus-shop"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def drafted(path: Path, environ: dict[str, str] | None = None) -> Draft:
    return gatus.draft(path, "acme", ENVIRON if environ is None else environ)


def monitor(found: Draft, name: str) -> dict:
    return next(m for m in found.items["monitors"] if m["name"] == name)


def test_every_item_has_its_line(file: Path):
    told = {(line.kind, line.name): line.verdict for line in drafted(file).lines}
    assert told == {
        ("endpoint", "shop"): APPROXIMATED, ("endpoint", "front"): APPROXIMATED, ("endpoint", "core / gw"): MAPPED, ("endpoint", "edge / gw"): MAPPED,
        ("endpoint", "db"): MAPPED, ("endpoint", "mx"): APPROXIMATED, ("endpoint", "zone"): MAPPED, ("endpoint", "ws"): MAPPED, ("endpoint", "mail"): MAPPED, ("endpoint", "stream"): LEFT_OUT,
        ("endpoint", "nightly"): APPROXIMATED, ("endpoint", "pushed"): APPROXIMATED, ("group", "core"): MAPPED, ("group", "edge"): MAPPED, ("group", "jobs"): MAPPED,
        ("alerting", "Gatus slack of core"): MAPPED, ("alerting", "Gatus slack"): MAPPED, ("alerting", "Gatus pagerduty"): MAPPED,
        ("alerting", "Gatus matrix"): LEFT_OUT, ("maintenance", "Maintenance"): MAPPED, ("section", "defaults"): LEFT_OUT, ("section", "storage"): LEFT_OUT,
        ("section", "suites"): LEFT_OUT,
    }  # fmt: skip


def test_conditions_become_settings_or_are_said(file: Path):
    found = drafted(file)
    shop = monitor(found, "shop")
    assert shop["config"]["accepted_statuses"] == "100-203,205-299"
    assert (shop["config"]["json_path"], shop["config"]["json_equals"]) == ("$.data.status", "UP")
    assert shop["degraded_latency_ms"] == 300 and shop["interval_seconds"] == 120 and shop["timeout_seconds"] == 3
    assert shop["confirmation_count"] == 3 and shop["recovery_count"] == 2
    notes = next(line.notes for line in found.lines if line.name == "shop")
    assert "The condition “len([BODY].data.list) > 2” is not carried over." in notes
    assert (
        "Slower than 300 ms is degraded here, not down." in notes
        and "Its alerts by matrix are not carried over." in notes
    )
    front = monitor(found, "front")
    assert front["config"]["accepted_statuses"] == "200,429" and front["config"]["keyword"] == "<h1>Welcome"
    assert front["interval_seconds"] == 5 and front["enabled"] is False
    assert front["config"]["verify_tls"] is False and front["config"]["follow_redirects"] is False


def test_requests_keep_their_body_and_sign_in(file: Path):
    found = drafted(file)
    config = monitor(found, "shop")["config"]
    assert config["method"] == "POST" and config["body"] == '{"query": "{ health }"}' and config["auth"] == "bearer"
    assert found.secrets[config["token"].name] == "canary-gatus-shop"
    assert {name: found.secrets[s.name] for name, s in config["headers"].items()} == {
        "X-Team": "web",
        "Content-Type": "application/json",
    }


def test_other_addresses(file: Path):
    found = drafted(file)
    kinds = {m["name"]: (m["kind"], m["config"]) for m in found.items["monitors"]}
    assert kinds["core / gw"] == ("icmp", {"host": "gw.acme.example"}) and kinds["db"] == (
        "tcp",
        {"host": "db.acme.example", "port": 5432},
    )
    assert kinds["mx"] == ("dns", {"name": "acme.example", "record_type": "MX", "resolver": "8.8.8.8"})
    assert kinds["zone"] == ("dns", {"name": "acme.example", "resolver": "1.1.1.1:53", "expected": ["192.0.2.7"]})
    assert kinds["ws"] == ("websocket", {"url": "wss://live.acme.example/feed", "send": "ping"})
    assert kinds["mail"] == ("smtp", {"host": "mx.acme.example", "port": 587})
    assert kinds["nightly"] == ("heartbeat", {"period_seconds": 1800}) and kinds["pushed"] == (
        "push",
        {"ttl_seconds": 86400},
    )
    assert kinds["core"] == ("group", {"monitors": ["shop", "core / gw", "db"]})


def test_alerts_go_where_they_went(file: Path):
    triggers = {t["name"]: t for t in drafted(file).items["triggers"]}
    assert triggers["acme: Gatus slack of core"]["scopes"] == [{"monitor": "shop"}]
    assert (
        triggers["acme: Gatus slack"]["scopes"] == [{"monitor": "front"}]
        and "notify_on_resolve" not in triggers["acme: Gatus slack"]
    )
    pager = triggers["acme: Gatus pagerduty"]
    assert pager["reminder_minutes"] == 60 and pager["notify_on_resolve"] is False


def test_a_variable_that_is_not_set_keeps_its_name(file: Path):
    found = drafted(file, {})
    channel = (
        next(c for c in found.items["channels"] if c["name"] == "Gatus slack")
        if any(c["name"] == "Gatus slack" for c in found.items["channels"])
        else None
    )
    lines = {line.name: line for line in found.lines}
    assert "SLACK_URL" in lines and "SHOP_TOKEN" in lines
    assert channel is None and "settings are not accepted" in lines["Gatus slack"].notes[0]
    token = monitor(found, "shop")["config"]["token"]
    assert token.name == "SHOP_TOKEN" and token.name not in found.secrets


def test_the_portals_own_secrets_do_not_go_into_it(file: Path):
    """A foreign file may say ${SECRET_KEY} where it signs in."""
    file.write_text(
        file.read_text().replace("${SHOP_TOKEN}", "${SECRET_KEY}").replace("X-Team: web", 'X-Team: "a ${DATABASE_URL}"')
    )
    found = drafted(file, {**ENVIRON, "SECRET_KEY": "canary-key", "DATABASE_URL": "canary-database"})
    config = monitor(found, "shop")["config"]
    assert config["token"].name == "ACME_MONITOR_SHOP_TOKEN" and not any(
        "canary-key" in v or "canary-database" in v for v in found.secrets.values()
    )


def test_applied_the_secrets_are_sealed_and_never_told(file: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    out = StringIO()
    call_command("import_gatus", str(file), "--client", "acme", "--yes", stdout=out)
    assert Channel.objects.get(name="Gatus slack").secrets.open() == {"url": ENVIRON["SLACK_URL"]}
    assert (
        Monitor.objects.get(name="shop").secrets.open()["token"] == "canary-gatus-shop" and Trigger.objects.count() == 3
    )
    assert "canary" not in out.getvalue().replace("canary: ", "") and "New addresses:" in out.getvalue()
    again = StringIO()
    call_command("import_gatus", str(file), "--client", "acme", "--yes", stdout=again)
    assert "Nothing to do" in again.getvalue()


def test_written_out_it_holds_no_secret(file: Path, tmp_path: Path):
    out, told = tmp_path / "acme.yaml", StringIO()
    call_command("import_gatus", str(file), "--out", str(out), stdout=told)
    assert (
        "canary-gatus" not in out.read_text() + told.getvalue()
        and "canarygatus" not in out.read_text() + told.getvalue()
    )
    assert "slug: gatus" in out.read_text()


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("60s", 60),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("5", None),
        ("", None),
        ("1x", None),
        (None, None),
        (True, None),
    ],
)
def test_durations(text: object, length: float | None):
    assert seconds(text) == length


def test_statuses_as_ranges():
    assert ranges({200, 201, 202, 301, 429, 430}) == "200-202,301,429-430" and ranges(set()) == ""


@pytest.mark.parametrize(("text", "said"), [
    ("a: 1", "it has no “endpoints”"), ("endpoints: [", "This is not YAML"), ("a: &a [*a]", "stands inside what it names"), ("endpoints: !secret X", "which Gatus does not know"),
    ("endpoints: []\nendpoints: []", "stands twice"),
])  # fmt: skip
def test_another_file_is_said(tmp_path: Path, text: str, said: str):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(CommandError, match=said):
        call_command("import_gatus", str(path), "--client", "acme", "--yes")


def test_values_of_other_types_do_no_harm(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "endpoints: [3, {name: [], url: 5, conditions: {}, alerts: x, dns: [], client: 3, interval: {}}, {name: a, url: 'http://[', conditions: [1, '[STATUS] == 99999999999']}]\nalerting: []\nmaintenance: 3\n"
    )
    assert [line.verdict for line in drafted(path).lines] == [LEFT_OUT, LEFT_OUT, LEFT_OUT]
