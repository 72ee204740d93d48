"""What do readers read? A letter is subject, text, HTML, a body for programs and a tone, the same for all of a page's readers.

Pure but for Markdown's renderer. Each reader's own links are added when it goes out (`subscribers.resolve`); nothing here
speaks of monitors, targets or errors: only what a person wrote for the public.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.utils.html import format_html, format_html_join

from alerts.channels.wording import cut, cut_middle, one_line
from portal.markup import markdown
from statuspages import words
from statuspages.front import home_of
from statuspages.models import Component, Page, Publication, ScheduledWork
from statuspages.phrases import say
from statuspages.projection import zone_of

MOST_NAMES = 20
NAME, TITLE, MESSAGE = 40, 80, 6000  # of a subject; of a text
TONES = {"minor": "info", "major": "warning", "critical": "critical"}


def incident(
    publication: Publication, components: Sequence[Component], *, what: str, message: str, at: datetime
) -> dict[str, Any]:
    """News of an incident. `what`: opened, update, resolved."""
    page, about = publication.page, publication.incident
    title = publication.title or about.title
    status = words.word(page.language, about.status)
    body = {"incident": {"id": about.pk, "title": title, "status": about.status, "severity": about.severity}}
    return _letter(
        page, f"incident.{what}", headline=say(page.language, f"incident_{what}"), title=title, status=status, message=message, components=components,
        tone="resolved" if what == "resolved" else TONES.get(about.severity, "info"), body=body, at=at, place=f"incidents/{about.pk}/",
    )  # fmt: skip


def work(
    row: ScheduledWork, components: Sequence[Component], *, what: str, message: str, at: datetime
) -> dict[str, Any]:
    """News of maintenance. `what`: scheduled, reminder, started, verifying, completed, cancelled."""
    page = row.page
    zone = zone_of(page)
    start, end = (words.moment(page.language, moment, zone) for moment in (row.starts_at, row.ends_at))
    about = {
        "id": row.pk,
        "title": row.title,
        "status": row.status,
        "starts_at": _wire(row.starts_at),
        "ends_at": _wire(row.ends_at),
    }
    return _letter(
        page, f"maintenance.{what}", headline=say(page.language, f"work_{what}"), title=row.title, status=words.word(page.language, row.status), message=message,
        components=components, tone="resolved" if what == "completed" else "info", body={"maintenance": about}, at=at,
        when=say(page.language, "when", start=start, end=f"{end} ({zone})"),
    )  # fmt: skip


def question(page: Page, *, known: bool) -> dict[str, Any]:
    """Shall news come here? (Or, to somebody who has them already: they do.) The link is the reader's own, added later."""
    name = one_line(page.name)
    subject = say(page.language, "known_subject" if known else "ask_subject", page=cut(name, NAME))
    text = say(page.language, "ask_known" if known else "ask", page=name)
    return {
        "subject": subject, "text": f"{subject}\n\n{text}", "html": format_html("<p>{}</p>", text), "footer": "", "tone": "info", "language": page.language,
        "open": {"rel": "open", "label": say(page.language, "open"), "url": home_of(page)} if known else None,
        "body": {"type": "statuspage.subscription", "text": text, "page": _named(page)},
    }  # fmt: skip


def via_of(page: Page) -> str:
    """By which way a page's letters go, as the log of messages says it."""
    return f"status page {page.name}"[:200]


def _letter(
    page: Page, type_: str, *, headline: str, title: str, status: str, message: str, components: Sequence[Component], tone: str,
    body: dict[str, Any], at: datetime, when: str = "", place: str = "",
) -> dict[str, Any]:  # fmt: skip
    name, title = one_line(page.name), one_line(title)
    names = [one_line(c.name) for c in components[:MOST_NAMES]] + (["…"] if len(components) > MOST_NAMES else [])
    affects = say(page.language, "affects", names=", ".join(names)) if names else ""
    message = cut("\n".join(message.replace("\x00", "").splitlines()).strip(), MESSAGE)
    told = f"{words.moment(page.language, at, zone_of(page))} ({zone_of(page)})"
    lines = [line for line in (when, affects, told) if line]
    colon = words.word(page.language, "colon")
    subject = f"{cut(name, NAME)}{colon}{cut_middle(title, TITLE)} — {status if not when else headline}"
    return {
        "subject": subject,
        "text": "\n".join([f"{headline}{colon}{title}", status, *lines]) + (f"\n\n{message}" if message else ""),
        "html": format_html(
            '<p style="margin:0;font-weight:600;">{}</p><h1 style="margin:4px 0 0;font-size:21px;line-height:28px;font-weight:600;">{}</h1><p style="margin:8px 0 0;"><strong>{}</strong>{}</p>{}',
            headline, title, status, format_html_join("", "<br>{}", ((line,) for line in lines)), markdown(message),
        ),
        "footer": say(page.language, "why", page=name),
        "open": {"rel": "open", "label": say(page.language, "open"), "url": home_of(page) + place},
        "tone": tone,
        "language": page.language,
        "body": {
            "type": f"statuspage.{type_}", "text": f"{name}{colon}{title} — {status}", "page": _named(page), **body, "message": message,
            "components": [{"id": c.pk, "name": c.name} for c in components[:MOST_NAMES]],
        },
    }  # fmt: skip


def _named(page: Page) -> dict[str, str]:
    return {"name": page.name, "slug": page.slug, "url": home_of(page)}


def _wire(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
