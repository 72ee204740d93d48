"""To whom is each month mailed, and what came of it? Letters with the report as PDF, carried by the alerts' outbox.

name_recipients(client, contacts, by=…)     -> who hears of each month from now on
owe(report, at=…)                            -> how many are mailed this report; in the transaction that keeps it
send_to_me(report, user, by=…, at=…)         -> the delivery of one copy, to the person who asked
again(at)                                    -> how many that failed in passing are tried once more
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.html import format_html, format_html_join

from alerts import acts, addressees
from alerts.addressees import Addressee, Ended
from alerts.channels.wording import cut, one_line
from alerts.facts import portal_url
from alerts.models import Attempt, Delivery, Notice
from alerts.snapshot import moment
from incidents import exports, sla
from incidents.models import ReportMail, ReportRecipient, SlaReport
from portal import audit, bells, branding
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Client, Contact, User

PREFIX: Final = "report"
TYPE: Final = "sla.report"
MOST_RECIPIENTS: Final = 50
AGAIN_FOR: Final = timedelta(days=2)  # a mail server may be away for a weekend's night, not for ever
ONE_A: Final = timedelta(minutes=1)  # copies that somebody asks for
MAIL: Final = "email"


# --- Who hears ------------------------------------------------------------------------------------------------------------
def candidates(client: Client, *, ours: bool) -> QuerySet[Contact]:
    """Contacts who can be mailed: the client's, and with `ours` our own staff's too."""
    reached = Q(email__gt="") | Q(ways__channel__type=MAIL, ways__channel__enabled=True)
    whose = Q(client=client) | Q(client=None) if ours else Q(client=client)
    return Contact.objects.filter(whose).filter(reached).distinct().order_by("client_id", "name", "pk")


def name_recipients(client: Client, contacts: Collection[Contact], *, by: Actor, ours: bool) -> None:
    """From now on each month goes to these. Without `ours` our own staff among the recipients stay as they are.

    ValidationError for somebody who cannot be mailed, or who is another client's.
    """
    allowed = {c.pk: c for c in candidates(client, ours=ours)}
    wanted = {c.pk for c in contacts}
    if wanted - allowed.keys():
        raise ValidationError({"contacts": ["Choose contacts of this client who have an e-mail address."]})
    if len(wanted) > MOST_RECIPIENTS:
        raise ValidationError({"contacts": [f"At most {MOST_RECIPIENTS} people; use a distribution list for more."]})
    with transaction.atomic():
        Client.objects.select_for_update(no_key=True).get(pk=client.pk)
        rows = ReportRecipient.objects.filter(client=client).select_related("contact")
        mine = [r for r in rows if ours or r.contact.client_id is not None]
        before = {r.contact_id for r in mine}
        if before == wanted:
            return
        ReportRecipient.objects.filter(pk__in=[r.pk for r in mine if r.contact_id not in wanted]).delete()
        ReportRecipient.objects.bulk_create(
            [ReportRecipient(client=client, contact_id=pk) for pk in sorted(wanted - before)]
        )
        names = sorted(allowed[pk].name for pk in wanted)
        audit.record(
            "sla_report.recipients", client, by=by, client_id=client.pk,
            before={"recipients": sorted(r.contact.name for r in mine)}, after={"recipients": names},
        )  # fmt: skip


# --- Owed with the report ---------------------------------------------------------------------------------------------------
def owe(report: SlaReport, *, at: datetime) -> int:
    """A mail for each recipient, in the transaction that keeps the report: told once, or not at all."""
    named = ReportRecipient.objects.filter(client=report.client_id).select_related("contact")
    mails = ReportMail.objects.bulk_create(
        [ReportMail(report=report, contact=r.contact, name=r.contact.name, ours=r.contact.client_id is None, created_at=at) for r in named]
    )  # fmt: skip
    _deliver(report, mails, at)
    return len(mails)


def send_to_me(report: SlaReport, user: User, *, by: Actor, at: datetime) -> Delivery:
    """One copy for the person who asks. Refused within a minute of the last."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if ReportMail.objects.filter(report=report, user=user, created_at__gt=at - ONE_A).exists():
            raise Refused("It was sent to you a moment ago; look into your mailbox, or wait a minute.")
        ours = user.msp_role != ""
        mail = ReportMail.objects.create(report=report, user=user, name=user.email, ours=ours, created_at=at)
        audit.record("sla_report.sent_to_oneself", report, by=by, client_id=report.client_id)
        (row,) = _deliver(report, [mail], at)
    return row


def _deliver(report: SlaReport, mails: Sequence[ReportMail], at: datetime) -> list[Delivery]:
    if not mails:
        return []
    said = letter(report)
    link = {
        "rel": "open",
        "label": "Open the report",
        "url": portal_url(f"/sla/{report.client_id}/{report.month:%Y-%m}/"),
    }
    notice = Notice.objects.create(
        client_id=report.client_id, kind=addressees.NEWS, event="report", type=TYPE, created_at=at,
        snapshot={
            "kind": addressees.NEWS, "event": "report", "type": TYPE, "severity": "info", "title": said["subject"], "cause": "", "at": moment(at),
            "links": [link], "letter": said,
        },
    )  # fmt: skip
    rows = Delivery.objects.bulk_create(
        [
            Delivery(
                notice=notice, kind=notice.kind, destination_key=addressees.key(PREFIX, mail.pk), client_id=report.client_id, contact_id=mail.contact_id,
                via=f"monthly report of {report.client}"[:200], priority=addressees.BY_MAIL, next_attempt_at=at, created_at=at,
            )
            for mail in mails
        ]
    )  # fmt: skip
    for mail, row in zip(mails, rows, strict=True):
        mail.delivery = row
    ReportMail.objects.bulk_update(mails, ["delivery"])
    bells.ring_on_commit(bells.SEND)
    return rows


# --- What it says -----------------------------------------------------------------------------------------------------------
WORDS = {True: "kept", False: "not kept", None: "nothing was measured"}


def letter(report: SlaReport) -> dict[str, Any]:
    """The mail of a kept report: whether each promise was kept, the figures, and the report as PDF."""
    body = report.body
    month, client, sections = exports.month_words(body), body["client_name"], body["services"]
    subject = f"Availability in {month}: {summary(sections)} — {cut(one_line(client), 60)}"
    lines = [sentence(s) for s in sections]
    more = "The report with every outage, and what was left out and why, is attached."
    before = SlaReport.objects.filter(client=report.client_id, month=report.month, pk__lt=report.pk)
    if before.exists():
        more += " It takes the place of the one that was kept before: the month was counted anew."
    footer = f"You get this as one of those to whom {one_line(client)}'s monthly reports go; they are chosen under Availability in {branding.called(report.client_id)}."
    html = format_html(
        '<p style="margin:0;font-weight:600;">{}</p><h1 style="margin:4px 0 0;font-size:21px;line-height:28px;font-weight:600;">{}</h1>{}<p>{}</p>',
        client, f"Availability in {month}: {summary(sections)}",
        format_html_join("", "<p><strong>{}: {}.</strong><br>{}</p>", ((s["name"], WORDS[s["met"]], figures(s)) for s in sections)), more,
    )  # fmt: skip
    name = f"availability-{report.client.slug}-{report.month:%Y-%m}.pdf"
    pdf = base64.b64encode(exports.as_pdf(body, report.digest)).decode()
    return {
        "subject": subject, "text": "\n".join([subject, "", *lines, "", more]), "html": html, "footer": footer,
        "tone": "warning" if any(s["met"] is False for s in sections) else "resolved", "language": "en",
        "body": {"type": TYPE, "text": subject, "report": report.pk},
        "files": [{"name": name, "type": "application/pdf", "content": pdf}],
    }  # fmt: skip


def summary(sections: Sequence[Mapping[str, Any]]) -> str:
    """All of it in a word or two: `kept`, `not kept`, `2 of 3 kept`."""
    answers = [s["met"] for s in sections if s["met"] is not None]
    if not answers or all(answers) or not any(answers):
        return WORDS[answers[0] if answers else None]
    return f"{sum(answers)} of {len(answers)} kept"


def sentence(s: Mapping[str, Any]) -> str:
    """`Checkout: kept. 99.95 % by contract (99.93 % raw), promised were 99.9 %; …`"""
    return f"{one_line(s['name'])}: {WORDS[s['met']]}. {figures(s)}"


def figures(s: Mapping[str, Any]) -> str:
    """What was promised, what it came to, and what that leaves of the allowed downtime."""
    target = exports.percent(s["contract"]["target_percent"])
    if s["met"] is None:
        return f"Promised were {target}."
    by_contract, raw = s["contract_figures"], s["raw"]
    return (
        f"{exports.percent(by_contract['percent'])} by contract ({exports.percent(raw['percent'])} raw), promised were {target}; "
        f"down {sla.words(by_contract['down_seconds'])}, {exports.left(dict(s))}."
    )


# --- For the outbox -----------------------------------------------------------------------------------------------------------
def addresses_of(contact: Contact) -> tuple[str, ...]:
    """Where a contact reads mail: their own address, else what their first way by mail names."""
    if contact.email:
        return (contact.email,)
    ways = (w.channel for w in contact.ways.all() if w.channel.type == MAIL and w.channel.enabled)
    named = next((c.config.get("to") or () for c in ways), ())
    return (named,) if isinstance(named, str) else tuple(named)


def resolve(ids: Collection[int]) -> Mapping[int, Addressee]:
    """How these are reached now: recipients while they are named, people while their account is in use; none of an inactive client."""
    named = ReportRecipient.objects.filter(client=OuterRef("report__client"), contact=OuterRef("contact"))
    rows = ReportMail.objects.filter(pk__in=ids, report__client__active=True)
    rows = rows.filter(Exists(named) | Q(contact=None, user__is_active=True))
    found = {}
    for mail in rows.select_related("contact", "user").prefetch_related("contact__ways__channel"):
        to = addresses_of(mail.contact) if mail.contact else (mail.user.email,) if mail.user else ()
        if to:
            found[mail.pk] = Addressee(MAIL, {"to": list(to)})
    return found


def ended(results: Sequence[Ended]) -> None:
    """What became of each stays with the report."""
    for result in results:
        values: dict[str, Any] = {"error": result.reason[:300] or "It could not be delivered."}
        if result.delivered:
            values = {"sent_at": result.at, "error": ""}
        ReportMail.objects.filter(pk=result.id).update(**values)


# --- What failed ----------------------------------------------------------------------------------------------------------------
def again(at: datetime) -> int:
    """Try once more what surely did not arrive and may yet; what may have arrived stays for a person to judge."""
    lost = ReportMail.objects.filter(
        sent_at=None, created_at__gt=at - AGAIN_FOR, contact__isnull=False, delivery__state=Delivery.State.FAILED
    ).select_related("delivery")
    tried = 0
    for mail in lost:
        assert mail.delivery is not None
        last = Attempt.objects.filter(delivery=mail.delivery).order_by("-n").first()
        if last is not None and last.outcome == "retry":
            acts.retry(mail.delivery, by=audit.PORTAL, at=at)
            tried += 1
    return tried


def standing(mail: ReportMail) -> dict[str, Any]:
    """A mail as the pages tell it: word, tone, why, and whether a person may send it anew."""
    row = mail.delivery
    if mail.sent_at is not None:
        return {"mail": mail, "word": "sent", "tone": "up", "why": "", "again": False}
    if row is not None and row.state in (Delivery.State.PENDING, Delivery.State.SENDING):
        why = f"Tried {row.attempt} times. {row.reason}" if row.attempt > 1 else row.reason
        return {
            "mail": mail,
            "word": "on its way",
            "tone": "degraded" if row.attempt else "info",
            "why": why,
            "again": False,
        }
    word = "perhaps sent" if row is not None and row.state == Delivery.State.UNKNOWN else "not sent"
    return {"mail": mail, "word": word, "tone": "down", "why": mail.error, "again": row is not None}


def standings(reports: Iterable[SlaReport]) -> dict[int, list[dict[str, Any]]]:
    """report → its mails as the pages tell them, in one query."""
    found: dict[int, list[dict[str, Any]]] = {r.pk: [] for r in reports}
    for mail in ReportMail.objects.filter(report__in=found).select_related("delivery").order_by("pk"):
        found[mail.report_id].append(standing(mail))
    return found


# The outbox finds us wherever reports are known: in the pages' processes (a copy to oneself) and in the sender's.
addressees.register(PREFIX, resolve, ended)
