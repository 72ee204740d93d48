"""Is the whole configuration in the text, and nothing else? Out, in again, out: the same text; and never a secret."""

from __future__ import annotations

import pytest
import yaml
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Trigger
from console.configuration import document, exporting, running, showing
from console.configuration.fields import Fields, Items, Part
from console.configuration.kinds import KINDS
from console.configuration.secret import Secret
from portal import services
from portal.models import Client
from tests import cast
from tests.console.configuration import scene

pytestmark = pytest.mark.django_db


def carried_out(text: str, environ: dict[str, str] | None = None, **how: bool) -> running.Outcome:
    return running.carry_out(document.read([("whole.yaml", text)], environ or {}), **how)


@pytest.fixture
def everything() -> str:
    """The scene is there; its export."""
    scene.people()
    outcome = carried_out(scene.WHOLE, scene.SECRETS, commit=True)
    assert outcome.problems == []
    return exporting.export()


def forget_everything() -> None:
    """As on the day of the installation: people and probes stay."""
    for kind in reversed(KINDS.values()):
        if kind.section not in ("clients", "maintenance_windows"):
            kind.model.objects.all().delete()
    for client in Client.objects.all():
        services.forget(client, by=cast.TESTS)


def named(text: str) -> dict[str, str]:
    """Values for an export's variables: those of the scene, found by what they are."""
    rows = {s.name: s.value for s in _stored()}
    return {name: value for name, value in rows.items() if f"!secret {name}" in text}


def _stored() -> list[Secret]:
    found: list[Secret] = []
    rows = exporting.Rows()
    whole = rows.document(None)
    for section in KINDS:
        found += [secret for _, secret in exporting.leaves(whole[section])]
    for secret in found:
        if secret.fits is not None:  # of a password only the hash is stored
            secret.value = scene.SECRETS["PAGE_PASSWORD"]
    return found


def test_what_was_exported_is_what_is_there(everything: str):
    outcome = carried_out(everything)
    assert outcome.problems == [] and showing.text(outcome).startswith(showing.NOTHING)


def test_on_an_empty_installation_the_export_gives_the_same_export(everything: str):
    environ = named(everything)
    forget_everything()
    assert "acme" not in exporting.export()
    outcome = carried_out(everything, environ, commit=True)
    assert outcome.problems == [] and exporting.export() == everything


def test_what_the_portal_makes_for_a_new_client_goes_when_the_files_are_everything(everything: str):
    """Somebody deleted a client's ready-made trigger: on an empty installation it comes back, unless it is pruned."""
    Trigger.objects.get(name="Default: alerts of Acme Ltd by Slack").delete()
    text = exporting.export()
    environ = named(text)
    forget_everything()
    outcome = carried_out(text, environ, commit=True, prune=True)
    assert outcome.problems == [] and exporting.export() == text


def test_a_second_time_there_is_nothing_to_do(everything: str):
    again = carried_out(scene.WHOLE, scene.SECRETS, commit=True)
    assert again.problems == [] and again.changes == []


def test_no_secret_is_in_the_export_nor_in_the_plan(everything: str):
    forget_everything()
    plan = carried_out(scene.WHOLE, scene.SECRETS)
    told = everything + showing.text(plan) + str(showing.as_json(plan))
    assert plan.changes and "(secret)" in told
    assert [
        name for name, value in scene.SECRETS.items() if value in told or value.removeprefix("Bearer ") in told
    ] == []


def test_the_scene_says_every_field_there_is(everything: str):
    whole = exporting.Rows().document(None)
    missing = [f"{section}.{path}" for section, kind in KINDS.items() for path in unsaid(kind.fields, whole[section])]
    assert missing == []


def unsaid(fields: Fields, items: list[dict]) -> list[str]:
    """Fields that none of these items says."""
    missing = []
    for f in fields.all:
        values = [item[f.name] for item in items if f.name in item]
        if not values:
            missing.append(f.name)
        elif isinstance(f.form, Items | Part):
            inner = [v for value in values for v in (value if isinstance(value, list) else [value])]
            missing += [f"{f.name}.{name}" for name in unsaid(f.form.fields, inner)]
    return missing


def test_another_program_reads_the_same_values(everything: str):
    """A plain YAML reader of an older kind takes times and words like `no` for what they are."""

    class Plain(yaml.SafeLoader):
        """With our tag as text."""

    Plain.add_constructor("!secret", lambda loader, node: f"secret {node.value}")
    values = yaml.load(everything, Plain)  # noqa: S506 - a safe loader
    assert values["contacts"][1]["ways"][1]["quiet_from"] == "22:00"
    assert values["monitors"][-1]["notes"] == "Yes: no 12:30"


def test_a_client_by_itself_is_only_that_clients(everything: str):
    cast.channel(cast.globex(), "Globex hook")
    text = exporting.export(["acme"])
    assert "client: acme" in text and "Globex" not in text and "Shops to us" not in text
    assert "covers:\n  - acme" in text
    assert carried_out(text).changes == []


def test_many_rows_cost_no_more_queries_than_few():
    def cost() -> int:
        with CaptureQueriesContext(connection) as seen:
            text = exporting.export()
        with CaptureQueriesContext(connection) as looked:
            assert carried_out(text).changes == []
        return len(seen) + len(looked)

    for n in range(3):
        cast.monitor(name=f"m{n}"), cast.contact(name=f"c{n}"), cast.channel(name=f"h{n}"), cast.trigger(name=f"t{n}")
    few = cost()
    for n in range(3, 30):
        cast.monitor(name=f"m{n}"), cast.contact(name=f"c{n}"), cast.channel(name=f"h{n}"), cast.trigger(name=f"t{n}")
    assert cost() == few


def test_bare_rows_made_by_hand_export_and_plan_to_nothing():
    """Every default of a file is what a new row really has."""
    for make in (cast.site, cast.service, cast.group, cast.schedule, cast.playbook):
        make()
    cast.monitor()
    outcome = carried_out(exporting.export())
    assert outcome.problems == [] and outcome.changes == []


SMALLEST = """\
version: 1
clients: [{slug: acme, name: Acme}]
sites: [{client: acme, name: Lisbon}]
services: [{client: acme, name: Shop}]
monitor_templates: [{name: Webs, kind: http}]
monitors:
  - {client: acme, name: web, kind: http, config: {url: "https://acme.example"}}
  - {client: acme, name: quick, kind: icmp, config: {host: acme.example}, interval_seconds: 5}
channels: [{client: acme, name: mail, type: email, config: {to: [noc@acme.example]}}]
contacts: [{client: acme, name: Ana}]
contact_groups: [{client: acme, name: All}]
on_call_schedules:
  - {client: acme, name: Nights, layers: [{contacts: [Ana], starts_at: "2026-01-05T08:00:00Z"}, {contacts: [Ana], rotation: daily, starts_at: "2026-01-05T08:00:00Z"}]}
escalation_policies: [{client: acme, name: Up, levels: [{delay_seconds: 0, contacts: [Ana]}]}]
triggers: [{client: acme, name: Tell}]
message_templates: [{client: acme, name: Polite, title: "{{monitor}}"}]
status_pages: [{client: acme, slug: acme, name: Acme, components: [{name: Web}], groups: [{name: All}]}]
playbooks: [{client: acme, name: Wait, steps: [{kind: wait, config: {seconds: 1}}]}]
maintenance_windows:
  - {client: acme, title: Sundays, owner: us, starts_at: "2026-11-01T02:00:00Z", ends_at: "2026-11-01T03:00:00Z", recurrence: FREQ=WEEKLY}
"""


def test_what_nobody_writes_is_what_the_portal_makes_of_it():
    """The smallest item of every kind is exported as small as it was written: each default here is the portal's."""
    assert carried_out(SMALLEST, commit=True).problems == []
    whole, wanted = exporting.Rows().document(None), yaml.safe_load(SMALLEST)
    for section in KINDS:
        shown = {item.get("name") or item.get("title"): item for item in whole[section]}
        assert shown == {item.get("name") or item.get("title"): item for item in wanted[section]}, section
