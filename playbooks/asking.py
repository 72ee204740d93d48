"""Who is asked to approve, and how? An alert that goes by triggers and escalation, and a letter of their own to each approver.

The alert's button is the same for all who read it; a letter's is its reader's own. Neither approves anything by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from django.utils.html import format_html, format_html_join

from alerts import addressees, linking
from alerts.addressees import Addressee, Ended
from alerts.channels.wording import cut, one_line
from alerts.message import Link
from alerts.models import Delivery, Notice
from alerts.snapshot import moment
from playbooks import links, records
from playbooks.models import Run, RunState
from portal import bells
from portal.models import User

PREFIX = "approver"  # destination keys: approver:<run * PEOPLE + person>
PEOPLE = 1_000_000_000
URGENT = 2  # as a critical page


def tell(run: Run, at: datetime) -> None:
    """Ask: the alert `playbook.approval_needed`, and a letter to each approver. In the caller's transaction."""
    records.raise_alert(run, records.APPROVAL, "approval_needed", f"Approval needed: {run.playbook_name} for {run.monitor or 'its targets'}", summary(run), at)  # fmt: skip
    for alert in records.own_alerts(run, [records.APPROVAL]):
        linking.attach_link(alert, "approve", links.url(run), label="Approve repair")
    letter = _letter(run, at)
    notice = Notice.objects.create(
        client_id=run.client_id, kind=addressees.NEWS, event="approval_needed", type="playbook.approval_needed", severity="warning", created_at=at,
        snapshot={
            "kind": addressees.NEWS, "event": "approval_needed", "type": "playbook.approval_needed", "severity": "warning", "title": letter["subject"],
            "cause": "", "at": moment(at), "thread": f"run-{run.pk}", "links": [{"rel": "open", "label": "Open run", "url": records.page(run)}],
            "letter": letter,
        },
    )  # fmt: skip
    Delivery.objects.bulk_create(
        Delivery(
            notice=notice, kind=notice.kind, destination_key=addressees.key(PREFIX, run.pk * PEOPLE + user), client_id=run.client_id,
            via=f"approver of {run.playbook_name}"[:200], priority=URGENT, state=Delivery.State.PENDING, next_attempt_at=at, created_at=at,
        )
        for user in run.approver_ids
        if user != run.requester_id
    )  # fmt: skip
    bells.ring_on_commit(bells.SEND)


def summary(run: Run) -> str:
    """What would be done and why, to what, and until when people may say so: one line each."""
    why = run.verdict.get("summary") or "no verdict"
    return "\n".join([f"{run}: {why}", *(f"{e['order']}. {e['sentence']}" for e in run.plan), until(run)])


def until(run: Run) -> str:
    """When it expires, and how many have to agree."""
    return f"Until {run.expires_at:%Y-%m-%d %H:%M:%S} UTC; {run.approvals_required} of {len(run.approver_ids)} people have to agree."


def _letter(run: Run, at: datetime) -> dict:
    subject = f"Approve? {cut(one_line(run.playbook_name), 60)} for {cut(one_line(str(run.monitor or run.client or 'its targets')), 60)}"
    steps = [(f"{e['order']}. {e['sentence']}",) for e in run.plan]
    about = f"{run}, about {run.monitor or 'no monitor'}" + (f" of {run.client}." if run.client else ".")
    why = run.verdict.get("summary") or "There is no verdict."
    gates = [(("✓ " if g["passed"] else "✗ ") + g["detail"],) for g in run.gates]
    text = "\n".join(
        [subject, "", about, f"Why: {why}", "", *(s for (s,) in steps), "", *(g for (g,) in gates), "", until(run)]
    )
    html = format_html(
        '<h1 style="margin:4px 0 0;font-size:21px;line-height:28px;font-weight:600;">{}</h1><p>{}<br>Why: {}</p><p><strong>It would do</strong><br>{}</p><p>{}</p><p>{}</p>',
        subject, about, why, format_html_join("", "{}<br>", steps), format_html_join("", "{}<br>", gates), until(run),
    )  # fmt: skip
    return {
        "subject": subject, "text": text, "html": html, "footer": "You are named as an approver. The link opens a page; nothing happens before you say so there.",
        "tone": "warning", "language": "en", "open": None, "body": {"type": "playbook.approval_needed", "text": subject, "run": run.pk},
    }  # fmt: skip


# --- For the outbox -----------------------------------------------------------------------------------------------------
def resolve(ids: Collection[int]) -> Mapping[int, Addressee]:
    """Those that are still to be asked: their run still waits."""
    pairs = {number: divmod(number, PEOPLE) for number in ids}
    runs = {
        r.pk: r for r in Run.objects.filter(pk__in={run for run, _ in pairs.values()}, state=RunState.AWAITING_APPROVAL)
    }
    people = {u.pk: u for u in User.objects.filter(pk__in={user for _, user in pairs.values()}, is_active=True)}
    return {
        number: Addressee("email", {"to": [people[user].email]}, (Link("approve", "Look at it and decide", links.url(runs[run], user)),))
        for number, (run, user) in pairs.items()
        if run in runs and user in people and user in runs[run].approver_ids
    }  # fmt: skip


def ended(results: Sequence[Ended]) -> None:
    """A letter that surely did not arrive stands in the run's story."""
    for result in results:
        if not result.delivered:
            run, user = divmod(result.id, PEOPLE)
            row = Run.objects.filter(pk=run, state=RunState.AWAITING_APPROVAL).first()
            person = User.objects.filter(pk=user).first()
            if row is not None and person is not None:
                records.tell(
                    records.locked(row.pk),
                    f"{row}: {person} could not be asked by mail: {result.reason}"[:500],
                    result.at,
                )


def register() -> None:
    """Known to the outbox."""
    addressees.register(PREFIX, resolve, ended)
