"""What if a file is wrong? Every complaint at once, with file, line and place; and then nothing at all is changed."""

from __future__ import annotations

import pytest

from console.configuration import document, running
from monitors.models import Monitor
from playbooks.models import Playbook
from portal.models import Client
from tests import cast

pytestmark = pytest.mark.django_db
ACME = "version: 1\nclients:\n  - {slug: acme, name: Acme}\n  - {slug: globex, name: Globex}\n"


def wrong(text: str, environ: dict[str, str] | None = None, **how: bool) -> list[str]:
    outcome = running.carry_out(document.read([("it.yaml", text)], environ or {}), **{"commit": True, **how})
    return [str(problem) for problem in outcome.problems]


def test_all_complaints_come_at_once_with_their_lines():
    text = (
        ACME
        + """\
monitors:
  - client: acme
    name: fine
    kind: http
    config: {url: "https://acme.example"}
  - client: acme
    name: quick
    kind: http
    interval_seconds: 3
    config:
      url: https://acme.example
  - client: acme
    name: old
    kind: http
    config:
      url: ftp://acme.example
  - client: acme
    name: odd
    kind: telnet
    intervall: 3
triggers:
  - {client: acme, name: T, channels: [Nowhere], severities: [loud]}
"""
    )
    assert wrong(text) == [
        "it.yaml:13: monitors[1].interval_seconds: 3 is written; from 5 (seconds) to 86400 (a day).",
        "it.yaml:20: monitors[2].config.url: Only http and https URLs are accepted.",
        "it.yaml:24: monitors[3].intervall: This is not a field of a monitor; is it interval_seconds?",
        "it.yaml:26: triggers[0].channels[0]: There is no channel “Nowhere” of acme; add it to the files, or correct the name.",
    ]


def test_one_bad_row_and_nothing_is_applied():
    text = (
        ACME
        + "monitors:\n  - {client: acme, name: ok, kind: icmp, config: {host: a.example}}\n  - {client: acme, name: no, kind: icmp}\n"
    )
    assert wrong(text) == ["it.yaml:7: monitors[1].config.host: Field required"]
    assert not Client.objects.exists() and not Monitor.objects.exists()


def test_what_hangs_on_a_bad_row_is_not_complained_of_again():
    text = (
        ACME.replace("name: Acme}", "name: Acme, timezone: Moon/Base}")
        + "sites: [{client: acme, name: L}]\nmonitors: [{client: acme, site: L, name: m, kind: icmp, config: {host: a.example}}]\n"
    )
    assert wrong(text) == [
        "it.yaml:3: clients[0].timezone: 'Moon/Base' is not a time zone; write it as in Europe/Lisbon or UTC."
    ]


def test_a_secret_that_is_nowhere_names_its_place_and_the_cure():
    text = ACME + "channels:\n  - client: acme\n    name: chat\n    type: slack\n    config:\n      url: !secret CHAT\n"
    assert wrong(text) == [
        "it.yaml:10: channels[0].config.url: The environment variable CHAT is not set and nothing is stored yet; set it and try again."
    ]


def test_a_secret_written_out_is_refused_and_not_repeated():
    text = (
        ACME
        + "channels:\n  - {client: acme, name: chat, type: slack, config: {url: https://hooks.slack.com/services/T0/B0/canary-19}}\n"
    )
    (said,) = wrong(text)
    assert "channels[0].config.url: This is a secret: write !secret NAME here" in said and "canary" not in said


def test_what_is_no_secret_is_not_taken_for_one():
    text = ACME + "monitors:\n  - {client: acme, name: m, kind: icmp, config: {host: !secret HOST}}\n"
    assert wrong(text, {"HOST": "a.example"}) == [
        "it.yaml:6: monitors[0].config.host: This is not kept as a secret; write its value."
    ]
    assert wrong(ACME.replace("name: Acme", "name: !secret NAME"), {"NAME": "Acme"}) == [
        "it.yaml:3: clients[0].name: This is not kept as a secret; write its value."
    ]


def test_a_refused_secret_is_not_quoted():
    text = (
        ACME
        + "channels:\n  - {client: acme, name: h, type: webhook, config: {url: 'https://h.example/', secret: !secret KEY}}\n"
    )
    (said,) = wrong(text, {"KEY": "canary-not-base64-3321"})
    assert "channels[0].config.secret" in said and "canary" not in said


@pytest.mark.parametrize(("text", "said"), [
    ("", "it.yaml:1: A configuration begins with “version: 1”, and has lists such as “monitors:”."),
    ("version: 2\n", "it.yaml:1: version: Write “version: 1”: that is the one this portal understands."),
    ("version: 1\nmonitor: []\n", "it.yaml:2: monitor: This is not a kind of row; there are clients, sites,"),
    ("version: 1\nsites: {}\n", "it.yaml:2: sites: Write a list: each site begins with “- ”."),
    ("version: 1\nsites: [1]\n", "it.yaml:2: sites[0]: Write the fields of a site, as name: …"),
    ("version: 1\nsites: [{name: x}]\n", "it.yaml:2: sites[0].client: Write the slug of the client whose site this is."),
    ("version: 1\nsites: [{client: a, name: 3}]\n", "it.yaml:2: sites[0].name: Write it as text, in quotes if it is a number."),
    ("version: 1\nsites: [{client: a, name: x}]\n", "it.yaml:2: sites[0].client: There is no client with the slug a; add it under clients, or correct it."),
    ("version: 1\ncovers: acme\n", "it.yaml:2: covers: Write all, or the list of clients whose whole configuration this is."),
    ("version: 1\nversion: 1\n", "it.yaml:2: “version” stands twice in this mapping (first in line 1)."),
    ("version: 1\ncontacts: [{name: A}, {name: A}]\n", "it.yaml:2: contacts[1].name: This contact stands in it.yaml:2 already; a second one of this name says nth: 2."),
    ("version: 1\ncontacts: [{name: A, nth: 2}]\n", "it.yaml:2: contacts[0].nth: 2 is written; there is no contact of this name before it"),
    ("version: 1\ncontacts: [{name: A, ways: [{type: email}]}]\n", "it.yaml:2: contacts[0].ways[0].config: Field required"),
    ("version: 1\ncontact_groups: [{name: A, contacts: Bob}]\n", "it.yaml:2: contact_groups[0].contacts: Write a list of names"),
    ("version: 1\nclients: [{slug: a, name: A, tags: gold}]\n", "it.yaml:2: clients[0].tags: Write a list of words"),
    ("version: 1\nmaintenance_windows: [{title: x, starts_at: '2026-01-01T00:00:00Z', ends_at: '2026-01-01T01:00:00Z'}]\n", "it.yaml:2: maintenance_windows[0].recurrence: This is missing"),
])  # fmt: skip
def test_shapes(text: str, said: str):
    found = wrong(text)
    assert any(line.startswith(said) for line in found), found


# --- Nobody reaches into another client ---------------------------------------------------------------------------------
def test_a_clients_rows_name_that_clients_rows_only():
    cast.site(cast.globex(), "Theirs"), cast.channel(cast.globex(), "their hook"), cast.contact(cast.globex(), "Gus")
    cast.monitor(cast.globex(), "their shop")
    text = (
        ACME
        + """\
monitors:
  - {client: acme, name: m, kind: icmp, config: {host: a.example}, site: {client: globex, name: Theirs}}
  - {client: acme, name: n, kind: icmp, config: {host: a.example}, parent: {client: globex, name: their shop}}
  - {client: acme, name: g, kind: group, config: {monitors: [{client: globex, name: their shop}]}}
triggers:
  - {client: acme, name: T, channels: [{client: globex, name: their hook}]}
contact_groups:
  - {client: acme, name: G, contacts: [{client: globex, name: Gus}]}
contacts:
  - {client: acme, name: A, ways: [{channel: {client: globex, name: their hook}}]}
status_pages:
  - {client: acme, slug: acme, name: A, components: [{name: c, monitors: [{client: globex, name: their shop}]}]}
"""
    )
    found = wrong(text)
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "monitors[0].site", "monitors[1].parent", "monitors[2].config.monitors", "triggers[0].channels", "contact_groups[0].contacts",
        "contacts[0].ways[0].channel", "status_pages[0].components[0].monitors",
    ]  # fmt: skip
    assert not Monitor.objects.filter(client__slug="acme").exists()


def test_a_plain_name_is_never_another_clients_row():
    cast.site(cast.globex(), "Theirs")
    text = ACME + "monitors: [{client: acme, name: m, kind: icmp, config: {host: a.example}, site: Theirs}]\n"
    assert wrong(text) == [
        "it.yaml:5: monitors[0].site: There is no site “Theirs” of acme; add it to the files, or correct the name."
    ]


def test_no_file_lets_a_playbook_act_by_itself():
    cast.playbook()
    text = "version: 1\nplaybooks: [{client: acme, name: Restart the shop, mode: automatic, steps: [{kind: wait, config: {seconds: 1}}]}]\n"
    (said,) = wrong(text)
    assert "playbooks[0].mode: That it acts by itself is a person's decision" in said
    assert Playbook.objects.get().mode == "dry_run"


def test_parents_and_groups_may_come_in_any_order_and_change_places():
    def chain(*names: str) -> str:
        rows = [
            f"  - {{client: acme, name: {name}, kind: icmp, config: {{host: a.example}}{f', parent: {parent}' if parent else ''}}}\n"
            for name, parent in zip(names, [*names[1:], ""], strict=True)
        ]
        return (
            ACME
            + "monitors:\n  - {client: acme, name: all, kind: group, config: {monitors: [inner, a]}}\n  - {client: acme, name: inner, kind: group, config: {monitors: [b]}}\n"
            + "".join(rows)
        )

    assert wrong(chain("a", "b", "c")) == []
    assert wrong(chain("c", "b", "a")) == []
    assert Monitor.objects.get(name="c").parent.name == "b" and Monitor.objects.get(name="a").parent is None
    assert wrong(chain("b", "a", "b")[: -len("x")]) != []  # named twice
