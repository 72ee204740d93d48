"""The smallest components stand hundreds of times on a page, so what they look like is remembered by what they were given.

`{% component "status" state=p.state %}` is templates/components/status.html and sees nothing else of the page. The library
is a template builtin: no `{% load %}` is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any

from django import template
from django.template.loader import get_template
from django.utils import dateformat, timezone
from django.utils.html import conditional_escape, escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from portal.templatetags.face import elapsed, human_since

register = template.Library()

# What each is made of, and nothing that changes with time: those are remembered for as long as the process lives.
PARTS = {
    "icon": ("name", "label"),
    "status": ("state", "only", "word"),
    "badge": ("state", "text", "tone"),
    "severity": ("severity",),
}


@register.simple_tag
def component(part: str, **given: Any) -> SafeString:
    """One of PARTS. KeyError for a name that is none of them, TypeError for what it does not know."""
    wanted = PARTS[part]
    if strange := given.keys() - set(wanted):
        raise TypeError(f"{part} does not know {', '.join(sorted(strange))}; it knows {', '.join(wanted)}")
    values = [given.get(n) for n in wanted]
    try:
        return _drawn(part, get_language(), *values)
    except TypeError:  # a list or a mapping, as a stranger's facts may have: drawn, not remembered
        return _drawn.__wrapped__(part, None, *values)


@lru_cache(maxsize=8192, typed=True)  # typed: marked as safe or not is a matter of type
def _drawn(part: str, language: str | None, *values: Any) -> SafeString:
    return mark_safe(
        get_template(f"components/{part}.html").render(dict(zip(PARTS[part], values, strict=True))).strip()
    )  # noqa: S308 - it escapes


@register.simple_tag
def options(groups: Iterable[tuple[str | None, list[dict[str, Any]], int]]) -> SafeString:
    """The options of a select's `optgroups`, as Django's own templates write them; a list of a thousand takes a thirtieth of the time."""
    said: list[str] = []
    for name, choices, _ in groups:
        inside = (f'\n  <option value="{escape(c["value"])}"{_attributes(c["attrs"])}>{conditional_escape(c["label"])}</option>' for c in choices)  # fmt: skip
        said += [f'\n  <optgroup label="{escape(name)}">', *inside, "\n  </optgroup>"] if name else inside
    return mark_safe("".join(said))  # noqa: S308 - each is escaped above


@register.simple_tag
def ticks(groups: Iterable[tuple[str | None, list[dict[str, Any]], int]]) -> SafeString:
    """The same for radio buttons and check boxes."""
    said: list[str] = []
    for name, choices, _ in groups:
        said += [f"<div><label>{escape(name)}</label>"] if name else ()
        said += map(_tick, choices)
        said += ["\n  </div>"] if name else ()
    return mark_safe("".join(said))  # noqa: S308 - each is escaped above


def _tick(c: dict[str, Any]) -> str:
    value = "" if c["value"] is None else f' value="{escape(c["value"])}"'
    box = f'<input type="{escape(c["type"])}" name="{escape(c["name"])}"{value}{_attributes(c["attrs"])}>'
    if not c.get("wrap_label"):
        return f"<div>\n    {box}</div>"
    to = f' for="{escape(c["attrs"]["id"])}"' if c["attrs"].get("id") else ""
    return f"<div>\n    <label{to}>{box} {conditional_escape(c['label'])}</label></div>"


def _attributes(attrs: dict[str, Any]) -> str:
    """Left out for False, bare for True."""
    return "".join(f" {name}" if value is True else f' {name}="{escape(value)}"' for name, value in attrs.items() if value is not False)  # fmt: skip


@register.simple_tag
def moment(at: datetime | date | None = None, mode: str = "", never: str = "") -> SafeString:
    """A moment as people say it, exact on hover. mode: ago (default, "6 min ago"), for ("6 min"), since ("since 14:32"), clock
    ("14:32:08"), stamp (the clock, with the day when it was not today), date ("21 Nov 2026, 14:32"); never: the text for None."""
    if not isinstance(at, date):  # also what a stranger's facts call a time
        return format_html('<span class="muted">{}</span>', never or "never")
    here = at if isinstance(at, datetime) else datetime.combine(at, time.min)
    here = timezone.localtime(here) if timezone.is_aware(here) else here
    exact = here.isoformat()
    title = _title(exact, here.tzname(), get_language())
    relative = f' data-relative="{mode or "ago"}"' if mode in ("", None, "ago", "for") else ""
    return mark_safe(f'<time datetime="{exact}" title="{title}"{relative}>{_said(here, mode)}</time>')  # noqa: S308 - numbers and months


def _said(at: datetime, mode: str) -> str:
    if mode == "for":
        return elapsed(at)
    if mode == "date":
        return dateformat.format(at, "j M Y, H:i")
    if mode in ("since", "clock", "stamp"):
        today = timezone.localtime(datetime.now(UTC)).date() == at.date()
        if mode == "since":
            return "since " + dateformat.format(at, "H:i" if today else "j M H:i")
        return dateformat.format(at, "H:i:s" if today or mode == "clock" else "j M H:i")
    return human_since(at)


@lru_cache(maxsize=4096)
def _title(exact: str, zone: str | None, language: str | None) -> str:
    """By its text: one instant in two zones, or in the hour that comes twice, is equal as a datetime."""
    return f"{dateformat.format(datetime.fromisoformat(exact), 'j M Y, H:i:s')} {zone or ''}".strip()
