"""When was an Uptime Kuma told to rest, and what did it show to the public?"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any

from django.utils.text import slugify

from console.importing.draft import Draft, Line, number, reference, text
from console.importing.kuma_files import Kuma
from console.importing.recurring import ANCHOR, WEEKDAYS, span
from portal.clock import database_now

CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::[0-5][0-9])?")
ONCE = "It happens once: plan it as a maintenance window or as planned work on a status page."


def maintenance(found: Draft, kuma: Kuma, made: dict[Any, dict[str, Any]]) -> None:
    """Recurring maintenance becomes recurring windows."""
    for row in kuma.maintenance:
        line = found.line("maintenance", row.get("title"))
        strategy = text(row.get("strategy"), 40)
        if row.get("active") in (0, False):
            line.leave("It is switched off.")
        elif strategy in ("single", "manual", ""):
            line.leave(
                ONCE if strategy == "single" else "It is begun by hand: begin a maintenance window when it is needed."
            )
        elif (rule := _rule(row, strategy)) is None:
            line.leave(f"The repetition “{strategy}” cannot be said as a recurrence here; plan it by hand.")
        else:
            _window(found, line, row, rule, made)


def _rule(row: dict[str, Any], strategy: str) -> str | None:
    if strategy == "recurring-interval":
        return f"FREQ=DAILY;INTERVAL={int(min(max(number(row.get('interval_day')) or 1, 1), 366))}"
    if strategy == "recurring-weekday":
        days = [
            WEEKDAYS[(int(d) - 1) % 7] for d in row["weekdays"] if number(d) is not None and 0 <= int(d) <= 7
        ]  # 0 and 7 are Sunday
        return f"FREQ=WEEKLY;BYDAY={','.join(dict.fromkeys(days))}" if days else None
    if strategy == "recurring-day-of-month":
        return _monthly(row["days_of_month"])
    return None


def _monthly(days: list[Any]) -> str | None:
    found = []
    for day in days:
        last = re.fullmatch(r"lastDay([1-4])", str(day))
        if last:
            found.append(f"-{last[1]}")
        elif str(day).isdigit() and 1 <= int(day) <= 31:
            found.append(str(int(day)))
    return f"FREQ=MONTHLY;BYMONTHDAY={','.join(found)}" if found else None


def _window(found: Draft, line: Line, row: dict[str, Any], rule: str, made: dict[Any, dict[str, Any]]) -> None:
    start, end = CLOCK.fullmatch(text(row.get("start_time"))), CLOCK.fullmatch(text(row.get("end_time")))
    if start is None or end is None:
        line.leave("It has no times of day.")
        return
    zone = text(row.get("timezone"), 64)
    if zone in ("", "SAME_AS_SERVER"):
        line.note("Its times are read as UTC: the zone was that of its server.")
        zone = "UTC"
    begins = timedelta(hours=int(start[1]), minutes=int(start[2]))
    length = (timedelta(hours=int(end[1]), minutes=int(end[2])) - begins) % timedelta(days=1) or timedelta(days=1)
    until = _day(row.get("end_date"))
    if until is not None and until < database_now().date():
        line.leave("It is over.")
        return
    if until is not None:
        rule += f";UNTIL={until:%Y%m%d}"
    times = span(rule, _day(row.get("start_date")) or ANCHOR, begins, length, zone)
    if times is None:
        line.leave(
            "Its times cannot be said as a recurrence here (the zone is not known, or it never comes); plan it by hand."
        )
        return
    about = [made[pk] for pk in row["monitor_ids"] if pk in made]
    if not about:
        line.leave("None of its monitors could be brought over.")
        return
    scopes = [{"monitor": m["name"], **({"nth": m["nth"]} if "nth" in m else {})} for m in about]
    found.window(
        line,
        row.get("title"),
        description=_plain(row.get("description")),
        recurrence=rule,
        timezone=zone,
        scopes=scopes,
        **times,
    )


def _day(value: Any) -> date | None:
    try:
        return datetime.fromisoformat(str(value).strip().replace("Z", "+00:00")).date() if value else None
    except ValueError:
        return None


def _plain(value: Any) -> str:
    return value.strip()[:4000] if isinstance(value, str) else ""


def pages(found: Draft, kuma: Kuma, made: dict[Any, dict[str, Any]]) -> None:
    """Status pages with their groups; each monitor is a component."""
    for row in kuma.pages:
        line = found.line("status page", row.get("title") or row.get("slug"))
        slug = slugify(text(row.get("slug"), 60))[:60]
        if not slug:
            line.leave("It has no address.")
            continue
        components = []
        for group in row["groups"]:
            for pk in group["monitor_ids"]:
                if pk in made:
                    components.append(
                        {
                            "name": made[pk]["name"],
                            "group": text(group["name"]) or None,
                            "monitors": [reference(made[pk])],
                        }
                    )
        fields: dict[str, Any] = {
            "name": line.name[:120], "enabled": bool(row.get("published", 1)), "about": _plain(row.get("description")),
            "theme": row["theme"] if row.get("theme") in ("light", "dark") else "auto", "components": components,
        }  # fmt: skip
        _what_differs(line, row, fields)
        found.page(line, slug, **fields)


def _what_differs(line: Line, row: dict[str, Any], fields: dict[str, Any]) -> None:
    if row.get("domain"):
        line.note(f"Its domain {text(row['domain'], 253)} has to be entered and proved on the page's settings.")
    if row.get("custom_css"):
        line.note("Its CSS is written for other pages and was left out.")
    if row.get("password"):
        line.note("Its password is not carried over: choose one, or it is public.")
    if row.get("footer_text"):
        line.note("Its footer was left out.")
    if text(row.get("icon"), 300) not in ("", "/icon.svg"):
        line.note("Its logo was left out: enter it on the page's settings.")
    if len(fields["components"]) > 300:
        fields["components"] = fields["components"][:300]
        line.note("A page shows at most 300 components.")
