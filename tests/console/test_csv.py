"""Monitors and contacts leave as CSV that comes back the same, holds no formula, and only whom the viewer sees."""

from __future__ import annotations

import csv
import html
import io
import json

import pytest

from alerts import services as ways
from console.pages import csv_cells
from monitors.models import Monitor
from portal.models import AuditEntry, Contact, ContactGroup, Service
from tests import cast
from tests.console import scene
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db
FORMULAS = ("=HYPERLINK(1)", "+1+1", "-2+3", "@SUM(A1)")


def table(answer) -> list[dict[str, str]]:
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/csv"), answer.status_code
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def taken_back(caller, path: str, answer, **more) -> str:
    """What the page says after the table was pasted and its preview confirmed."""
    data = {"lines": answer.content.decode("utf-8-sig"), **more}
    looked = caller.post(path, data)
    assert looked.status_code == 200 and looked.context["ready"], html.unescape(text(looked))
    return html.unescape(text(caller.post(path, {**data, "create": "1"}, follow=True)))


# --- Monitors --------------------------------------------------------------------------------------------------------------
def picture(m: Monitor) -> tuple:
    tags = sorted(t.name for t in m.tags.all())
    return (m.name, m.kind, m.config, m.interval_seconds, m.timeout_seconds, m.severity, m.notes, m.runbook_url, tags, m.site, m.service)  # fmt: skip


def test_exported_monitors_come_back_as_they_were():
    shop = Service.objects.create(client=cast.acme(), name="Shop; checkout")
    m = scene.monitor(config={"url": scene.URL, "keyword": '-ok, "fine"', "method": "HEAD"})
    Monitor.objects.filter(pk=m.pk).update(site=cast.site(), service=shop, severity="warning", notes="two\nlines", runbook_url="https://wiki.example/", interval_seconds=300)  # fmt: skip
    for n, value in enumerate((5, "5", True, "plain", {"a": [1]})):
        scene.monitor(name=f"json {n}", config={"url": scene.URL, "json_path": "$.status", "json_equals": value})
    scene.monitor(name="db", kind="tcp", config={"host": "2001:4860:4860::8888", "port": 5432})
    scene.monitor(name="zone", kind="dns", config={"name": "acme.example", "expected": ["192.0.2.1", "192.0.2.2"]})
    scene.monitor(name="backup", kind="heartbeat", config={"period_seconds": 3600, "grace_seconds": 120})
    caller = browser(cast.make_staff())
    answer = caller.get(f"/tables/monitors.csv?client={cast.acme().pk}")
    before = {m.name: picture(m) for m in Monitor.objects.all()}
    Monitor._base_manager.all().delete()
    assert "9 monitors are watched" in taken_back(caller, "/monitors/several/", answer, client=cast.acme().pk)
    assert {m.name: picture(m) for m in Monitor.objects.all()} == before


@pytest.mark.parametrize("name", FORMULAS)
def test_a_monitor_called_like_a_formula_is_text_in_a_spreadsheet_and_itself_again_here(name):
    scene.monitor(name=name)
    caller = browser(cast.alice())
    answer = caller.get("/tables/monitors.csv")
    assert table(answer)[0]["name"] == f"'{name}"
    Monitor._base_manager.all().delete()
    taken_back(caller, "/monitors/several/", answer, client=cast.acme().pk)
    assert Monitor.objects.get().name == name


def test_no_secret_leaves_with_a_monitor():
    scene.monitor(config={"url": scene.URL, "user": "ana", "password": "hunter2-planted"})
    answer = browser(cast.alice()).get("/tables/monitors.csv")
    assert "hunter2-planted" not in answer.content.decode() and "password" not in answer.content.decode()


def test_monitors_are_exported_as_the_list_is_filtered_and_one_client_at_a_time():
    scene.monitor(), scene.monitor(name="api")
    scene.monitor(cast.globex(), "intranet")
    staff = browser(cast.make_staff())
    assert [r["name"] for r in table(staff.get(f"/tables/monitors.csv?client={cast.acme().pk}&q=api"))] == ["api"]
    assert "Choose a client first" in text(staff.get("/tables/monitors.csv", follow=True))
    mallory = browser(cast.mallory())
    assert [r["name"] for r in table(mallory.get("/tables/monitors.csv"))] == ["intranet"]
    theirs = mallory.get(f"/tables/monitors.csv?client={cast.acme().pk}")
    assert theirs.status_code == 302, "another client's table does not exist"
    assert "/tables/monitors.csv" in browser(cast.alice()).get("/monitors/").content.decode()


# --- Contacts --------------------------------------------------------------------------------------------------------------
def people() -> set[tuple]:
    return {
        (c.client and c.client.name, c.name, c.email, c.phone, c.timezone, c.ways.count(), tuple(c.groups.values_list("name", flat=True)))
        for c in Contact.objects.all()
    }  # fmt: skip


def test_exported_contacts_come_back_as_they_were():
    ana = Contact.objects.create(client=cast.acme(), name="=Ana", email="ana@acme.example", phone="+351912345678", timezone="Europe/Lisbon")  # fmt: skip
    ways.add_way(ana, by=cast.TESTS, type="email", settings={"to": [ana.email]})
    ContactGroup.objects.create(client=cast.acme(), name="On call").contacts.add(ana)
    Contact.objects.create(name="Sam", email="sam@msp.example")
    caller = browser(cast.make_staff())
    answer, before = caller.get("/tables/contacts.csv"), people()
    assert [r["phone"] for r in table(answer)] == ["'+351912345678", ""] or table(answer)[1][
        "phone"
    ] == "'+351912345678"
    Contact._base_manager.all().delete()
    assert "2 contacts were added" in taken_back(caller, "/contacts/several/", answer)
    assert people() == before
    assert AuditEntry.objects.filter(action="contact.created").exists()


def reached() -> dict[str, list[tuple]]:
    return {c.name: sorted((w.channel.type, json.dumps(w.channel.config), w.channel.contact_id == c.pk) for w in c.ways.all()) for c in Contact.objects.all()}  # fmt: skip


def test_contacts_come_back_with_the_channels_that_need_no_secret():
    ana = Contact.objects.create(client=cast.acme(), name="Ana", email="ana@acme.example")
    for kind, settings in (
        ("email", {"to": [ana.email]}), ("email", {"to": ["night@acme.example", "day@acme.example"]}),
        ("telegram", {"chat_id": "4711"}), ("twilio_sms", {"to": "+351912345678"}),
    ):  # fmt: skip
        ways.add_way(ana, by=cast.TESTS, type=kind, settings=settings, name=f"{kind} {settings}")
    caller, before = browser(cast.make_staff()), reached()
    answer = caller.get("/tables/contacts.csv")
    assert (
        table(answer)[0]["channels"]
        == "email: night@acme.example, day@acme.example; telegram: 4711; twilio_sms: +351912345678"
    )
    Contact._base_manager.all().delete()
    assert "1 contact was added" in taken_back(caller, "/contacts/several/", answer)
    assert reached() == before


def test_a_channel_with_a_secret_stays_and_the_table_says_so():
    ana = Contact.objects.create(client=cast.acme(), name="Ana", email="ana@acme.example")
    ways.add_way(ana, by=cast.TESTS, type="ntfy", settings={"url": "https://ntfy.sh/planted-topic"})
    ways.add_way(
        ana,
        by=cast.TESTS,
        type="telegram",
        settings={"chat_id": "4711", "bot_token": "123456:planted-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    )
    caller = browser(cast.alice())
    answer = caller.get("/tables/contacts.csv")
    assert "planted" not in answer.content.decode()
    assert table(answer)[0]["channels"] == "ntfy: (left out); telegram: (left out)"
    page = html.unescape(
        text(caller.post("/contacts/several/", {"client": cast.acme().pk, "lines": answer.content.decode("utf-8-sig")}))
    )
    assert "ntfy has a secret or settings of its own" in page and "Not stored yet" in page


def test_nothing_is_stored_before_the_second_press():
    caller = browser(cast.alice())
    data = {"client": cast.acme().pk, "lines": "name,email\nAna,ana@acme.example"}
    page = caller.post("/contacts/several/", data)
    assert "Not stored yet" in text(page) and "by mail to ana@acme.example" in text(page)
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("name,email\nAna,nowhere", "email: Enter a valid email"),
        ("name,email\n,ana@acme.example", "name: This field cannot be blank"),
        ("name,timezone\nAna,Mars/Olympus", "is not a time zone"),
        ("name,told by mail\nAna,yes", "told by mail: There is no address"),
        ("name,told by mail\nAna,perhaps", "told by mail: Write yes or no"),
        ("name,groups\nAna,Nobody's", "groups: There is no group"),
        ("name,channels\nAna,telegram 4711", "as kind: value"),
        ("name,channels\nAna,pigeon: 1", "There is no kind 'pigeon'"),
        ("name,channels\nAna,webhook: https://x.example/", "Webhook needs a secret"),
        ("name,channels\nAna,twilio_sms: 12", "channels: twilio_sms:"),
        ("name,client\nAna,Globex", "client: You have no client “Globex”"),
        ("name,salary\nAna,1", "There is no column 'salary'"),
        ("email\nana@acme.example", "one of them name"),
        ("name,name\nAna,Ana", "is there twice"),
        ("name\nAna,extra", "put quotes around"),
        ("name", "There is nobody in it"),
        ("name\n" + "Ana\n" * 201, "At most 200 at a time"),
    ],
)
def test_a_line_that_cannot_be_says_which_column_and_what_to_do(lines, said):
    page = browser(cast.alice()).post("/contacts/several/", {"client": cast.acme().pk, "lines": lines, "create": "1"})
    assert page.status_code == 400 and said in html.unescape(text(page))
    assert not Contact.objects.exists()


def test_contacts_are_exported_and_added_within_ones_own_only():
    Contact.objects.create(client=cast.acme(), name="Ana")
    Contact.objects.create(client=cast.globex(), name="Gus")
    Contact.objects.create(name="Ours")
    mallory = browser(cast.mallory())
    assert [r["name"] for r in table(mallory.get("/tables/contacts.csv"))] == ["Gus"]
    for client in (cast.acme().pk, ""):
        assert mallory.post("/contacts/several/", {"client": client, "lines": "name\nEve", "create": "1"}).status_code == 400  # fmt: skip
    viewer = browser(cast.person("vera@acme.example", "viewer", cast.acme()))
    assert viewer.get("/contacts/several/").status_code == 403
    assert not Contact.objects.filter(name="Eve").exists()


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", " =1", "'quoted", "plain", "a,b", 'say "-1"', "it's -1"])
def test_what_left_as_a_cell_comes_back_as_it_was(cell):
    out = csv_cells.attached(["name", "note"], [[cell, cell]], "x").content.decode("utf-8-sig")
    (back,) = csv.DictReader(io.StringIO(csv_cells.unguarded(out)))
    assert back == {"name": cell, "note": cell}
