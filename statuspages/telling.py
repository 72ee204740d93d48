"""Which readers hear of this? One notice for each piece of news, one delivery for each reader, in the caller's transaction.

Readers of the page alone, those who chose none of the components concerned left out; ten thousand of them by one statement.
The same occasion is told once, whoever reports it twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Exists, Min, OuterRef, QuerySet

from alerts import addressees
from alerts.models import Delivery, Notice
from alerts.snapshot import moment
from portal import bells
from portal.models import Slot
from statuspages import letters
from statuspages.models import Component, Page, Publication, ScheduledWork, Subscriber
from statuspages.subscribers import PREFIX

INCIDENT: Final = {
    "opened": "opened",
    "published": "opened",
    "update": "update",
    "updated": "update",
    "resolved": "resolved",
    "reopened": "reopened",
}
WORK: Final = ("scheduled", "updated", "reminder", "started", "verifying", "completed", "cancelled")
ONCE: Final = ("reminder", "started", "verifying", "completed", "cancelled")  # of one planned beginning
UTTERED: Final = ("updated", "started", "verifying", "completed", "cancelled")  # a person may have added words


def incident_news(publication: Publication, *, what: str, message: str, at: datetime) -> int:
    """Tell the page's readers of an incident: `what` is opened, update, resolved or reopened. Returns how many are told."""
    what, page = INCIDENT[what], publication.page
    if publication.withdrawn_at is not None or not _speaks(page):
        return 0
    since = publication.published_at if what == "opened" else at
    if not _first(f"news:incident:{publication.pk}:{what}", since):
        return 0
    components = list(publication.components.all())
    letter = letters.incident(publication, components, what=what, message=message, at=at)
    return _tell(page, components, f"incident.{what}", letter, f"news-incident-{publication.pk}", at)


def work_news(work: ScheduledWork, *, what: str, at: datetime) -> int:
    """Tell the page's readers of planned work: `what` is one of WORK. Returns how many are told."""
    if what not in WORK:
        raise ValueError(f"{what!r} is no news of planned work.")
    page = work.page
    if not _speaks(page) or not _first(f"news:work:{work.pk}:{what}", work.starts_at if what in ONCE else at):
        return 0
    components = list(work.components.all())
    letter = letters.work(work, components, what=what, message=_words(work, what, at), at=at)
    return _tell(page, components, f"maintenance.{what}", letter, f"news-work-{work.pk}", at)


def _speaks(page: Page) -> bool:
    return page.enabled and page.subscriptions


def _words(work: ScheduledWork, what: str, at: datetime) -> str:
    """What a person said with this move; of the work itself when it is announced."""
    if what not in UTTERED:
        return work.message
    said = work.updates.filter(created_at=at).order_by("-id").values_list("message", flat=True).first()
    return said or (work.message if what == "updated" else "")


def _first(name: str, at: datetime) -> bool:
    """Is this the first report of the occasion? Two workers may see it at once: whoever inserts the row tells."""
    number = int(at.timestamp() * 1_000_000)
    if Slot.objects.filter(name=name, slot=number).exists():
        return False
    try:
        with transaction.atomic():
            Slot.objects.create(name=name, slot=number, taken_by="statuspages", taken_at=at)
    except IntegrityError:
        return False
    return True


def readers(page: Page, components: Sequence[Component]) -> QuerySet[Subscriber]:
    """Who hears of news about these components (none: about the whole page)."""
    rows = Subscriber.objects.filter(page=page, state=Subscriber.State.ACTIVE)
    if not components:
        return rows
    chosen = Subscriber.components.through.objects.filter(subscriber_id=OuterRef("pk"))
    return rows.filter(~Exists(chosen) | Exists(chosen.filter(component_id__in=[c.pk for c in components])))


def _tell(
    page: Page, components: Sequence[Component], about: str, letter: dict[str, Any], thread: str, at: datetime
) -> int:
    told = readers(page, components)
    if not told.exists():
        return 0
    event = about.replace(".", "_")
    notice = Notice.objects.create(
        client_id=page.client_id, kind=addressees.NEWS, event=event, type=f"statuspage.{about}", created_at=at,
        snapshot={
            "kind": addressees.NEWS, "event": event, "type": f"statuspage.{about}", "severity": "info", "title": letter["subject"], "cause": "",
            "at": moment(at), "thread": thread, "links": [letter.pop("open")], "letter": letter,
        },
    )  # fmt: skip
    like = Delivery(
        notice=notice, kind=notice.kind, client_id=page.client_id, via=letters.via_of(page), state=Delivery.State.PENDING,
        next_attempt_at=at, created_at=at,
    )  # fmt: skip
    count = _owe(like, told)
    bells.ring_on_commit(bells.SEND)
    return count


def _owe(like: Delivery, told: QuerySet[Subscriber]) -> int:
    """One delivery for each of these, otherwise like that one: a single INSERT … SELECT, so no row travels twice."""
    quote = connection.ops.quote_name
    own = {
        "destination_key": (f"'{PREFIX}:' || r.id", []),
        "priority": ("CASE WHEN r.kind = %s THEN %s ELSE %s END", [Subscriber.Kind.EMAIL, addressees.BY_MAIL, addressees.BY_HOOK]),
    }  # fmt: skip
    columns, values, parameters = [], [], []
    for field in Delivery._meta.concrete_fields:
        if field.primary_key:
            continue
        sql, given = own.get(field.name, ("%s", [field.get_db_prep_save(field.pre_save(like, True), connection)]))
        columns.append(quote(field.column))
        values.append(sql)
        parameters += given
    inner, asked = told.order_by("pk").values("id", "kind").query.sql_with_params()
    into = quote(Delivery._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {into} ({', '.join(columns)}) SELECT {', '.join(values)} FROM ({inner}) AS r",
            [*parameters, *asked],
        )
        return cursor.rowcount


def waiting(page: Page) -> dict[str, Any]:
    """What is still to go out to its readers: {"count", "since" (the oldest; None without any)}."""
    state = (Delivery.State.PENDING, Delivery.State.SENDING)
    rows = Delivery.objects.filter(
        kind=addressees.NEWS, state__in=state, client=page.client_id, via=letters.via_of(page)
    )
    return rows.aggregate(count=Count("id"), since=Min("created_at"))
