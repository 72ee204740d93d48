"""Does each month's report reach those who were named, once, with the PDF, and does everybody see when it did not?"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from alerts.models import Delivery
from incidents import reports, sla_mail
from incidents.models import ReportMail, ReportRecipient, SlaReport
from portal import services
from portal.errors import Refused
from portal.models import Client, Contact
from tests import cast
from tests.alerts import stage
from tests.console.visiting import browser, text
from tests.incidents.test_reports import OCT, at, outage, promised
from tests.rig.mailbox import Mailbox, Mode
from tests.statuspages.reading import send

pytestmark = pytest.mark.django_db
SETTLED = datetime(2026, 11, 5, 12, tzinfo=UTC)
PAGE = "/sla/{}/2026-10/"


@pytest.fixture(autouse=True)
def portal(settings: Any) -> None:
    cast.make_owner()
    settings.BASE_URL = "https://portal.example"


@pytest.fixture
def post(settings: Any, mailbox: Mailbox) -> Mailbox:
    """The installation's mail server."""
    settings.SMTP = {"host": "127.0.0.1", "port": mailbox.port, "tls": "none"}
    settings.DEFAULT_FROM_EMAIL = "reports@portal.example"
    return mailbox


def person(name: str, of: Client | None, email: str = "") -> Contact:
    """Somebody who can be mailed."""
    return services.create(Contact, client=of, name=name, email=email or f"{name.lower()}@mail.example", by=cast.TESTS)


def named(*contacts: Contact) -> None:
    """From now on these hear of Acme's months."""
    sla_mail.name_recipients(cast.acme(), contacts, by=cast.TESTS, ours=True)


def kept(**terms: Any) -> SlaReport:
    """October, kept by itself: an hour down of a promise of 99.9 %."""
    outage(promised(**terms), at(10, 12), at(10, 13))
    assert reports.keep_due(SETTLED) == 1
    return SlaReport.objects.get()


def due() -> list[Delivery]:
    return list(Delivery.objects.filter(destination_key__startswith="report:"))


# --- Who hears -------------------------------------------------------------------------------------------------------------
def test_nobody_is_mailed_before_somebody_is_named():
    kept()
    assert not due() and not ReportMail.objects.exists()


def test_the_named_are_mailed_when_the_month_is_kept_and_never_again(post):
    bea = person("Bea", cast.acme())
    named(cast.contact(), bea, person("Sam", None))
    kept()
    assert len(send(SETTLED)) == 3
    assert sorted(to for m in post.mails for to in m.recipients) == [
        "ana@acme.example", "bea@mail.example", "sam@mail.example",
    ]  # fmt: skip
    assert reports.keep_due(SETTLED + timedelta(hours=1)) == 0
    reports.make(cast.acme(), OCT, by=cast.TESTS, at=SETTLED + timedelta(hours=2))  # the same figures
    assert send(SETTLED + timedelta(hours=2)) == [] and len(post.mails) == 3


def test_the_mail_says_whether_it_was_kept_with_the_figures_and_the_way_to_the_page(post):
    named(cast.contact())
    report = kept()
    send(SETTLED)
    (mail,) = post.mails
    assert mail.subject == "Availability in October 2026: not kept — Acme"
    said = "Checkout: not kept. 99.8655 % by contract (99.8655 % raw), promised were 99.9 %; down 1 h, 15 min 22 s over the 44 min 38 s allowed."
    assert said in " ".join(mail.text.split())
    assert (
        "99.8655 % by contract" in mail.html and f"https://portal.example{PAGE.format(report.client_id)}" in mail.html
    )
    assert "chosen under Availability in Watchkeeper" in " ".join(mail.text.split())


def test_the_report_itself_is_attached_as_pdf(post):
    named(cast.contact())
    kept()
    send(SETTLED)
    (mail,) = post.mails
    (file,) = mail.message.iter_attachments()
    assert (file.get_content_type(), file.get_filename()) == ("application/pdf", "availability-acme-2026-10.pdf")
    assert file.get_content().startswith(b"%PDF-")


def test_a_kept_promise_is_called_kept_and_one_of_two_is_counted():
    good = {"name": "A", "met": True}
    assert sla_mail.summary([good]) == "kept" and sla_mail.summary([good, {"met": None}]) == "kept"
    assert sla_mail.summary([good, {"met": False}]) == "1 of 2 kept"
    assert sla_mail.summary([{"met": None}]) == "nothing was measured"


def test_a_month_that_is_counted_anew_says_that_it_replaces_the_first(post):
    named(cast.contact())
    report = kept()
    SlaReport.objects.filter(pk=report.pk).update(digest="0" * 64)  # other figures than today's
    again = reports.make(cast.acme(), OCT, by=cast.TESTS, at=SETTLED)
    assert again.pk != report.pk
    send(SETTLED)
    assert ["takes the place" in " ".join(m.text.split()) for m in post.mails] == [False, True]


def test_another_clients_contact_cannot_be_named_nor_one_without_an_address():
    theirs = services.create(Contact, client=cast.globex(), name="Gus", email="gus@globex.example", by=cast.TESTS)
    silent = services.create(Contact, client=cast.acme(), name="Sue", by=cast.TESTS)
    for one in (theirs, silent):
        with pytest.raises(ValidationError, match="contacts of this client"):
            named(one)
    assert not ReportRecipient.objects.exists()


def test_a_contact_without_an_address_of_their_own_is_reached_by_their_way_by_mail(post):
    ann = services.create(Contact, client=cast.acme(), name="Ann", by=cast.TESTS)
    ann.ways.create(channel=stage.mail("Ann's", cast.acme()))
    named(ann)
    kept()
    send(SETTLED)
    assert [m.recipients for m in post.mails] == [("ana@acme.example",)]


def test_who_is_taken_off_the_list_before_it_goes_out_hears_nothing(post):
    named(cast.contact())
    kept()
    named()
    send(SETTLED)
    assert post.mails == []


def test_nothing_is_mailed_about_a_client_that_was_made_inactive(post):
    named(cast.contact())
    report = kept()
    Client.objects.filter(pk=report.client_id).update(active=False)
    send(SETTLED)
    assert post.mails == []


# --- Naming them on the page ------------------------------------------------------------------------------------------------
def test_a_clients_admin_names_its_own_contacts_and_leaves_our_staff_among_them():
    ours, ana = person("Sam", None), cast.contact()
    promised()
    named(ours)
    alice, where = browser(cast.alice()), reverse("sla_recipients", args=[cast.acme().pk])
    assert "And 1 of our own staff." in text(alice.get(f"/sla/?client={cast.acme().pk}"))
    assert "Sam" not in text(alice.get("/sla/"))
    answer = alice.post(where, {"contact": [str(ana.pk), str(ours.pk)]}, follow=True)
    assert "goes to 1 of these" in text(answer)
    assert set(ReportRecipient.objects.values_list("contact__name", flat=True)) == {"Sam", "Ana"}
    alice.post(where, {})
    assert set(ReportRecipient.objects.values_list("contact__name", flat=True)) == {"Sam"}


@pytest.mark.parametrize("who", [cast.viewer, cast.approver, cast.make_auditor])
def test_who_may_only_look_names_nobody(who):
    ana = cast.contact()
    answer = browser(who()).post(reverse("sla_recipients", args=[cast.acme().pk]), {"contact": [ana.pk]})
    assert answer.status_code == 403 and not ReportRecipient.objects.exists()


# --- What failed ------------------------------------------------------------------------------------------------------------
def test_a_mail_server_that_is_away_for_a_while_delays_the_mail_and_loses_nothing(post):
    named(cast.contact())
    kept()
    post.behave(Mode.TEMPFAIL)
    send(SETTLED)
    (row,) = due()
    assert row.state == "pending" and not ReportMail.objects.get().sent_at
    post.behave(Mode.ACCEPT)
    send(SETTLED + timedelta(minutes=5))
    assert len(post.mails) == 1 and ReportMail.objects.get().sent_at


def lost(post: Mailbox, mode: Mode) -> SlaReport:
    """A report whose mail was tried to the end of its ladder."""
    named(cast.contact())
    report = kept()
    post.behave(mode)
    for n in range(6):
        send(SETTLED + timedelta(minutes=20 * n))
    (row,) = due()
    assert row.state == "failed"
    post.behave(Mode.ACCEPT)
    return report


def test_what_was_lost_in_passing_is_tried_again_by_itself_within_two_days(post):
    lost(post, Mode.TEMPFAIL)
    reports.keep_due(SETTLED + timedelta(days=3))
    assert send(SETTLED + timedelta(days=3)) == []
    reports.keep_due(SETTLED + timedelta(hours=3))
    send(SETTLED + timedelta(hours=3))
    assert len(post.mails) == 1 and ReportMail.objects.get().error == ""


def test_a_refusal_for_good_waits_for_a_person_and_stands_on_the_page(post):
    report = lost(post, Mode.REJECT)
    reports.keep_due(SETTLED + timedelta(hours=3))
    assert send(SETTLED + timedelta(hours=3)) == []
    alice, mail = browser(cast.alice()), ReportMail.objects.get()
    page = text(alice.get(PAGE.format(report.client_id)))
    assert "not sent" in page and "refused the recipient" in page and "no such user" in page
    assert "1 not sent" in text(alice.get(f"/sla/?client={report.client_id}"))
    alice.post(reverse("sla_mail_again", args=[mail.pk]))
    send(datetime.now(UTC) + timedelta(minutes=1))
    assert len(post.mails) == 1
    assert "mailed to 1" in text(alice.get(f"/sla/?client={report.client_id}"))


def test_a_clients_people_do_not_read_our_staffs_names_beside_a_report(post):
    named(person("Sam", None))
    report = kept()
    send(SETTLED)
    assert "one of our staff" in text(browser(cast.alice()).get(PAGE.format(report.client_id)))
    assert "Sam" not in text(browser(cast.viewer()).get(PAGE.format(report.client_id)))
    assert "Sam" in text(browser(cast.make_staff()).get(PAGE.format(report.client_id)))


# --- A copy to oneself ------------------------------------------------------------------------------------------------------
def test_whoever_reads_a_report_may_have_it_sent_to_themselves(post):
    report = kept()
    vic = browser(cast.viewer())
    where = reverse("sla_to_me", args=[report.client_id, "2026-10"])
    assert "the mail server took it for vic@acme.example" in text(vic.post(where, follow=True))
    assert [m.recipients for m in post.mails] == [("vic@acme.example",)]
    assert "a moment ago" in text(vic.post(where, follow=True)) and len(post.mails) == 1


def test_a_copy_of_a_month_that_is_not_kept_does_not_exist(post):
    promised()
    answer = browser(cast.viewer()).post(reverse("sla_to_me", args=[cast.acme().pk, "2026-09"]))
    assert answer.status_code == 404 and post.attempts == 0


def test_without_a_mail_server_the_copy_says_what_to_do(settings):
    settings.SMTP = {"host": "", "port": 587, "tls": "none"}
    report = kept()
    answer = browser(cast.viewer()).post(reverse("sla_to_me", args=[report.client_id, "2026-10"]), follow=True)
    assert "It was not sent" in text(answer) and "SMTP_HOST" in text(answer)


def test_two_copies_in_one_minute_are_refused_by_the_door():
    report = kept()
    vic = cast.viewer()
    sla_mail.send_to_me(report, vic, by=cast.TESTS, at=SETTLED)
    with pytest.raises(Refused, match="a moment ago"):
        sla_mail.send_to_me(report, vic, by=cast.TESTS, at=SETTLED + timedelta(seconds=30))
    sla_mail.send_to_me(report, vic, by=cast.TESTS, at=SETTLED + timedelta(minutes=2))
    assert date(2026, 10, 1) == report.month and len(due()) == 2
