"""The doors of status pages: what they take, what they refuse and in which words, and what they leave on record."""

from __future__ import annotations

import socket
import struct
import threading
from datetime import timedelta

import dns.message
import dns.rrset
import pytest
from django.core.exceptions import ValidationError

from alerts.models import Delivery, MaintenanceWindow
from incidents import services as incidents
from incidents.models import ServiceRules, TimelineEntry
from monitors import services as monitors
from monitors.models import Monitor
from portal.audit import PORTAL
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditEntry
from statuspages import domains, logo, services, works
from statuspages.models import Component, Page, Projection, Publication, ScheduledWork
from tests import cast
from tests.console import scene

pytestmark = pytest.mark.django_db
BY = cast.TESTS


def page(of=None, **values) -> Page:
    return services.save_page(None, by=BY, at=database_now(), client=of, **{"name": "Acme status", **values})


def monitor(of=None, name: str = "shop", service=None) -> Monitor:
    row = Monitor(
        client=of or cast.acme(), name=name, kind="http", config={"url": "https://shop.acme.example/"}, service=service
    )
    return monitors.save(row, by=BY, at=database_now(), trusted=True)


def component(on: Page, *behind: Monitor, name: str = "Shop", **values) -> Component:
    return services.save_component(on, None, by=BY, at=database_now(), name=name, monitors=behind, **values)


def incident(*affected: Monitor, of=None, **values):
    return incidents.create(
        title="Checkout fails", severity="major", by=BY, at=database_now(), client_id=(of or cast.acme()).pk, affected_monitor_ids=[m.pk for m in affected],
        notify=False, **values,
    )  # fmt: skip


def complaints(do) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        do()
    return caught.value.message_dict


def wanted(row: Page) -> bool:
    return Projection.objects.filter(page=row, wanted=True).exists()


# --- The page -------------------------------------------------------------------------------------------------------------
def test_a_page_is_made_with_an_address_from_its_name_and_is_on_record():
    made = page(cast.acme())
    assert (made.slug, made.client, wanted(made)) == ("acme-status", cast.acme(), True)
    entry = AuditEntry.objects.get(action="page.created")
    assert entry.client_id == cast.acme().pk and entry.after["slug"] == "acme-status"
    assert page(cast.acme()).slug == "acme-status-2"


@pytest.mark.parametrize(
    ("values", "field", "word"),
    [
        ({"name": " "}, "name", "page is of"),
        ({"slug": "two words"}, "slug", ""),
        ({"slug": "admin"}, "slug", "kept for the portal"),
        ({"slug": "Feed"}, "slug", "kept for the portal"),
        ({"accent": "red"}, "accent", "Six hexadecimal"),
        ({"timezone": "Mars/Olympus"}, "timezone", "not a time zone"),
        ({"support_url": "javascript:alert(1)"}, "support_url", "whole address"),
        ({"language": "xx"}, "language", ""),
        ({"visibility": "password"}, "password", "needs one"),
        ({"visibility": "password", "password": "short"}, "password", "At least 8"),
        ({"about": "x" * 4001}, "about", ""),
        ({"headline": "a\x00b"}, "headline", "zero byte"),
        ({"publish_folder": "../etc"}, "publish_folder", "Lower-case"),
        ({"publish_folder": "/a/../b"}, "publish_folder", "Lower-case"),
        ({"logo_file": b"<svg xmlns='x'/>"}, "logo", "SVG"),
        ({"custom_domain": "https://acme.example/"}, "custom_domain", "name alone"),
        ({"custom_domain": "*.acme.example"}, "custom_domain", "name alone"),
        ({"custom_domain": "192.0.2.1"}, "custom_domain", "address cannot"),
        ({"custom_domain": "acme"}, "custom_domain", "not a host name"),
        ({"custom_domain": "-a.example"}, "custom_domain", "not a host name"),
        ({"custom_domain": "status.local"}, "custom_domain", "below .local"),
        ({"custom_domain": "a b.example"}, "custom_domain", "not a host name"),
    ],
)
def test_what_is_wrong_stands_at_its_field(values, field, word):
    found = complaints(lambda: page(**values))
    assert word in " ".join(found[field])
    assert not Page.objects.exists()


def test_all_complaints_come_at_once():
    assert complaints(lambda: page(accent="red", slug="admin", timezone="x")).keys() == {"accent", "slug", "timezone"}


def test_a_domain_is_kept_in_one_spelling():
    assert page(custom_domain=" Status.ACME.example. ").custom_domain == "status.acme.example"
    assert domains.normal("bücher.example") == "xn--bcher-kva.example"


def test_the_audit_log_holds_neither_password_nor_mark_nor_picture():
    made = page(visibility="password", password="correct-horse", logo_file=png(10, 10))
    text = str(list(AuditEntry.objects.values_list("before", "after")))
    assert (
        made.password_hash not in text
        and made.domain_mark not in text
        and "IHDR" not in text
        and "correct-horse" not in text
    )


def test_another_domain_has_to_be_proved_anew():
    made = page(custom_domain="status.acme.example")
    Page.objects.filter(pk=made.pk).update(domain_verified_at=database_now())
    mark = made.domain_mark
    same = services.save_page(made, by=BY, at=database_now(), headline="Hello")
    assert same.domain_verified_at and same.domain_mark == mark
    other = services.save_page(made, by=BY, at=database_now(), custom_domain="status.globex.example")
    assert other.domain_verified_at is None and other.domain_mark != mark


def test_two_pages_do_not_write_into_one_folder():
    page(publish_folder="acme")
    for folder in ("acme", "acme/status"):
        assert "another page" in str(complaints(lambda folder=folder: page(slug="b", publish_folder=folder))).lower()
    page(slug="c", publish_folder="acme-2")


def test_a_page_goes_with_what_named_it():
    made, shop = page(cast.acme()), monitor()
    told = incident(shop)
    services.publish(told, made, by=BY, at=database_now())
    rules = ServiceRules.objects.create(service=cast.service(), auto_publish_page=made.pk)
    services.delete_page(made, by=BY, at=database_now())
    told.refresh_from_db()
    rules.refresh_from_db()
    assert (told.status_page_id, rules.auto_publish_page) == (None, None) and not Publication.objects.exists()


# --- Logo -----------------------------------------------------------------------------------------------------------------
def png(width: int, height: int, more: int = 0) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
        + struct.pack(">II", width, height)
        + b"\x08\x06\x00\x00\x00"
        + bytes(more)
    )


def jpeg(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(10)


def webp(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + sizes


@pytest.mark.once
@pytest.mark.parametrize(("make", "kind"), [(png, "image/png"), (jpeg, "image/jpeg"), (webp, "image/webp")])
def test_a_logo_is_known_by_its_bytes(make, kind):
    assert logo.judge(make(300, 80)) == kind
    with pytest.raises(logo.NotALogo, match="at most 2,000"):
        logo.judge(make(2001, 80))


@pytest.mark.once
@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"<svg/>", "SVG"), (b"  \n<?xml version='1.0'?><svg/>", "SVG"), (b"\x1f\x8b\x08", "SVG"), (b"GIF89a", "neither"), (b"<html>", "neither"), (b"", "neither"),
        (b"\x89PNG\r\n\x1a\n", "whole"), (b"\xff\xd8\xff", "whole"), (b"\xff\xd8\xff\xe0\x00\x01", "whole"), (b"RIFF\x00\x00\x00\x00WEBP", "whole"), (png(0, 9), "0 × 9"),
        (png(9, 9, 210_000), "at most 200 KB"),
    ],
)  # fmt: skip
def test_what_is_no_logo_is_refused_with_the_cure(data, word):
    with pytest.raises(logo.NotALogo, match=word):
        logo.judge(data)


# --- Components -----------------------------------------------------------------------------------------------------------
def test_a_clients_page_shows_that_clients_monitors_only():
    made, theirs = page(cast.acme()), monitor(cast.globex())
    assert "No such monitor of Acme" in complaints(lambda: component(made, theirs))["monitor_ids"][0]
    assert "service" in complaints(lambda: component(made, service=cast.service(cast.globex())))["service_id"][0]
    group = services.save_group(page(slug="ours"), None, by=BY, at=database_now(), name="Other")
    assert "group" in complaints(lambda: component(made, group=group))


def test_the_msps_page_may_show_any_clients():
    row = component(page(), monitor(), monitor(cast.globex()))
    assert row.monitors.count() == 2


def test_an_order_is_a_whole_one():
    made = page()
    a, b, c = (component(made, name=name) for name in "abc")
    services.order(made, "components", [c.pk, a.pk], by=BY, at=database_now())
    assert [x.name for x in made.components.all()] == ["c", "a", "b"]
    other = component(page(slug="other"))
    assert "Not of this page" in str(
        complaints(lambda: services.order(made, "components", [other.pk], by=BY, at=database_now()))
    )
    assert b.name == "b"


def test_an_override_says_who_until_when_and_lapses():
    at = database_now()
    row = services.set_override(component(page()), "degraded", until=at + timedelta(hours=1), by=BY, at=at)
    assert (row.override, row.override_by) == ("degraded", "the tests")
    assert services.lapse(at) == 0
    assert services.lapse(at + timedelta(hours=2)) == 1
    row.refresh_from_db()
    assert (row.override, row.override_until, row.override_by) == ("", None, "")
    assert "status" in complaints(lambda: services.set_override(row, "broken", by=BY, at=at))
    assert "until" in complaints(lambda: services.set_override(row, "degraded", until=at, by=BY, at=at))


def test_an_announcement_lapses():
    at = database_now()
    made = services.announce(page(), "We move house.", until=at + timedelta(hours=1), by=BY, at=at)
    services.lapse(at + timedelta(hours=2))
    made.refresh_from_db()
    assert made.announcement == ""


# --- Publishing -----------------------------------------------------------------------------------------------------------
def test_publishing_shows_it_with_the_components_of_its_monitors():
    made, shop = page(cast.acme()), monitor()
    touched, _ = component(made, shop), component(made, name="Mail")
    told = incident(shop)
    shown = services.publish(told, made, by=BY, at=database_now())
    assert list(shown.components.all()) == [touched] and shown.published_by == "the tests"
    told.refresh_from_db()
    assert told.status_page_id == made.pk
    assert TimelineEntry.objects.get(incident=told, kind="published").text == "Published on Acme status."
    again = services.publish(told, made, title="Payments fail", by=BY, at=database_now())
    assert again.pk == shown.pk and again.title == "Payments fail"
    assert TimelineEntry.objects.filter(incident=told, kind="published").count() == 1


def test_another_clients_incident_does_not_exist_for_a_page():
    made, theirs = page(cast.acme()), incident(of=cast.globex())
    with pytest.raises(Refused, match=f"There is no incident {theirs.pk} for this page"):
        services.publish(theirs, made, by=BY, at=database_now())
    assert not Publication.objects.exists()
    services.publish(theirs, page(slug="ours"), by=BY, at=database_now())


def test_a_component_of_another_page_is_refused():
    made = page(cast.acme())
    strange = component(page(slug="b"))
    found = complaints(lambda: services.publish(incident(), made, components=[strange], by=BY, at=database_now()))
    assert "components" in found


def test_taken_off_it_may_come_back():
    first, second = page(cast.acme()), page(cast.acme(), slug="second")
    told, at = incident(), database_now()
    services.publish(told, first, by=BY, at=at)
    shown = services.publish(told, second, by=BY, at=at + timedelta(seconds=1))
    services.withdraw(shown, by=BY, at=at + timedelta(seconds=2))
    told.refresh_from_db()
    assert told.status_page_id == first.pk
    with pytest.raises(Refused):
        services.withdraw(shown, by=BY, at=at)
    later = at + timedelta(seconds=3)
    assert services.publish(told, second, by=BY, at=later).published_at == later


@pytest.mark.parametrize(("creation", "published"), [("auto", True), ("auto_with_confirmation", False)])
def test_what_the_machine_opened_is_published_when_its_rule_says_so(creation, published):
    made, service = page(cast.acme()), cast.service()
    ServiceRules.objects.create(service=service, creation=creation, auto_publish_page=made.pk)
    told = incident(service=service)
    told.auto_created = True
    assert bool(services.auto_publish([told], database_now())) is published
    told.auto_created = False
    assert services.auto_publish([told], database_now()) == [], "a person's incident waits for a person"


def test_a_rule_that_names_another_clients_page_publishes_nothing():
    theirs, service = page(cast.globex()), cast.service()
    ServiceRules.objects.create(service=service, auto_publish_page=theirs.pk)
    told = incident(service=service)
    told.auto_created = True
    assert services.auto_publish([told], database_now()) == []


def test_what_is_said_later_reaches_its_pages_and_what_joins_widens_what_the_machine_published():
    made, shop, mail = page(cast.acme()), monitor(), monitor(name="mail")
    component(made, shop), component(made, mail, name="Mail")
    told = incident(shop)
    shown = services.publish(told, made, by=PORTAL, at=database_now())
    Projection.objects.update(wanted=False)
    told.affected_monitor_ids = [shop.pk, mail.pk]
    told.save()
    assert services.pass_on([told], database_now(), "joined") == 1 and wanted(made)
    assert shown.components.count() == 2
    assert services.pass_on([incident()], database_now(), "updated") == 0


# --- Planned work -----------------------------------------------------------------------------------------------------------
def work(on: Page, *parts: Component, hours: float = 1, **values) -> ScheduledWork:
    at = database_now()
    given = {
        "title": "Database upgrade",
        "starts_at": at + timedelta(hours=hours),
        "ends_at": at + timedelta(hours=hours + 2),
        **values,
    }
    return services.save_work(on, None, by=BY, at=at, components=parts, **given)


@pytest.mark.once
@pytest.mark.parametrize("now", ScheduledWork.Status.values)
@pytest.mark.parametrize("to", ScheduledWork.Status.values)
def test_the_table_of_moves_is_all_that_there_is(now, to):
    allowed = to in works.MOVES[now] or (to == now and bool(works.MOVES[now]))
    assert (works.refused(now, to) == "") is allowed
    assert works.refused(now, to).endswith((".", "")) and "_" not in works.refused(now, to)


def test_monitors_rest_while_their_component_is_worked_on():
    made, shop = page(cast.acme()), monitor()
    row = work(made, component(made, shop, service=cast.service()), rest=True)
    window = MaintenanceWindow.objects.get()
    assert (row.window, window.client, window.starts_at, window.ends_at) == (
        window,
        cast.acme(),
        row.starts_at,
        row.ends_at,
    )
    assert window.scopes == [f"monitor:{shop.pk}", f"service:{cast.service().pk}"]
    services.save_work(made, row, by=BY, at=database_now(), ends_at=row.ends_at + timedelta(hours=1))
    window.refresh_from_db()
    assert window.ends_at == row.ends_at + timedelta(hours=1)
    services.move_work(row, "in_progress", by=BY, at=database_now())
    shop.refresh_from_db()
    assert shop.in_maintenance
    services.move_work(row, "completed", message="Done.", by=BY, at=database_now())
    shop.refresh_from_db()
    assert not shop.in_maintenance
    assert list(row.updates.values_list("status", flat=True)) == ["scheduled", "in_progress", "completed"]


def test_work_that_is_called_off_rests_nobody():
    made = page(cast.acme())
    row = work(made, component(made, monitor()), rest=True)
    services.cancel_work(row, message="Not today.", by=BY, at=database_now())
    assert MaintenanceWindow.objects.get().cancelled_at is not None
    with pytest.raises(Refused, match="is cancelled"):
        services.move_work(row, "in_progress", by=BY, at=database_now())


def test_rest_without_anything_to_rest_is_refused_whole():
    made = page(cast.acme())
    assert "rest" in complaints(lambda: work(made, component(made), rest=True))
    assert not ScheduledWork.objects.exists() and not MaintenanceWindow.objects.exists()


def test_time_alone_begins_and_ends_it_once():
    row, at = work(page()), database_now()
    assert services.keep_time(at + timedelta(hours=1, seconds=5)) == 1
    assert services.keep_time(at + timedelta(hours=1, seconds=9)) == 0
    services.keep_time(at + timedelta(hours=3, seconds=9))
    row.refresh_from_db()
    assert row.status == "completed" and row.updates.count() == 3


def test_work_that_waits_for_a_person_waits():
    row, at = work(page(), auto_start=False, auto_end=False, remind_minutes=0), database_now()
    assert services.keep_time(at + timedelta(hours=9)) == 0
    row.refresh_from_db()
    assert row.status == "scheduled"


def test_a_reminder_is_given_once_at_its_time():
    row, at = work(page(), hours=5, remind_minutes=60), database_now()
    assert services.keep_time(at + timedelta(hours=3)) == 0
    assert services.keep_time(at + timedelta(hours=4, minutes=1)) == 1
    assert services.keep_time(at + timedelta(hours=4, minutes=2)) == 0
    row.refresh_from_db()
    assert row.reminded_at is not None


@pytest.mark.parametrize(
    ("values", "field"),
    [({"title": " "}, "title"), ({"hours": -9}, "ends_at"), ({"remind_minutes": 99_999}, "remind_minutes"), ({"message": "x" * 5001}, "message"), ({"hours": 24 * 900}, "starts_at")],
)  # fmt: skip
def test_work_that_makes_no_sense_is_refused_at_its_field(values, field):
    assert field in complaints(lambda: work(page(), **values))


# --- Domain ---------------------------------------------------------------------------------------------------------------
def test_a_domain_is_proved_by_its_record_and_belongs_to_one_page():
    made = page(custom_domain="status.acme.example")
    asked = []
    proved = domains.verify(
        made, by=BY, at=database_now(), asked=lambda name: asked.append(name) or ["other", made.domain_mark]
    )
    assert asked == ["_watchkeeper.status.acme.example"] and proved.domain_verified_at
    assert "answers at this domain already" in str(
        complaints(lambda: page(slug="b", custom_domain="status.acme.example"))
    )


def test_a_record_that_says_something_else_is_told():
    made = page(custom_domain="status.acme.example")
    with pytest.raises(Refused, match="says “other”, not"):
        domains.verify(made, by=BY, at=database_now(), asked=lambda name: ["other"])
    with pytest.raises(Refused, match="no domain"):
        domains.verify(page(slug="b"), by=BY, at=database_now())


def test_the_name_servers_are_really_asked():
    with NameServer({"_watchkeeper.a.example.": '"the" "mark"'}) as server:
        assert domains.ask("_watchkeeper.a.example", nameservers=["127.0.0.1"], port=server.port) == ["themark"]
        with pytest.raises(Refused, match="no TXT record"):
            domains.ask("_watchkeeper.b.example", nameservers=["127.0.0.1"], port=server.port)


class NameServer:
    """A name server on loopback that knows some TXT records."""

    def __init__(self, records: dict[str, str]) -> None:
        self.records = records
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self) -> NameServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def serve(self) -> None:
        while True:
            try:
                data, where = self.socket.recvfrom(2000)
            except OSError:
                return
            question = dns.message.from_wire(data)
            answer = dns.message.make_response(question)
            name = str(question.question[0].name)
            if name in self.records:
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", self.records[name]))
            else:
                answer.set_rcode(3)
            self.socket.sendto(answer.to_wire(), where)


# --- From the outage to the page ----------------------------------------------------------------------------------------------
def test_an_outage_is_on_the_page_of_its_services_rule_with_all_that_is_said_of_it():
    made, service = page(cast.acme()), cast.service()
    ServiceRules.objects.create(service=service, auto_publish_page=made.pk)
    shop = monitor(service=service)
    touched = component(made, service=service)
    at = database_now()
    reader = made.subscribers.create(
        kind="email", address="reader@acme.example", address_hash="r", state="active", created_at=at, asked_at=at
    )
    alert = scene.fail(shop, at)
    shown = Publication.objects.get()
    assert (shown.incident_id, shown.page, list(shown.components.all())) == (alert.incident_id, made, [touched])
    incidents.update(shown.incident, status="identified", message="A bad release.", by=BY, at=database_now())
    incidents.resolve(shown.incident, by=BY, at=database_now(), message="Rolled back.")
    told = Delivery.objects.filter(destination_key=f"subscriber:{reader.pk}").order_by("pk")
    assert [d.notice.type for d in told] == [f"statuspage.incident.{what}" for what in ("opened", "update", "resolved")]
