"""How do times, latencies, uptimes and states read on a screen, in a mail or on the public page?

Every filter here is also a plain function, so mails and charts use the same words as the pages.
The library is a template builtin: no `{% load %}` is needed.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any

from django import template
from django.http import QueryDict
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

DASH = "–"

# The seven states, the same everywhere: word, glyph for plain text, path for screens (12 x 12, filled with currentColor).
STATES: dict[str, tuple[str, str, str]] = {
    "up": ("Up", "●", '<circle cx="6" cy="6" r="5"/>'),
    "degraded": ("Degraded", "▲", '<path d="M6 .8 11.6 11H.4z"/>'),
    "down": ("Down", "■", '<rect x="1" y="1" width="10" height="10" rx="1"/>'),
    "maintenance": ("Maintenance", "◆", '<path d="M6 .2 11.8 6 6 11.8.2 6z"/>'),
    "unknown": ("Unknown", "○", '<circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" stroke-width="1.6"/>'),
    "paused": ("Paused", "‖", '<path d="M2.5 1h2.6v10H2.5zM6.9 1h2.6v10H6.9z"/>'),
    "pending": (
        "Pending",
        "◌",
        '<circle cx="6" cy="6" r="4.4" fill="none" stroke="currentColor" stroke-width="1.8" stroke-dasharray="2 1.46"/>',
    ),
}
# Words other parts use for one of the seven: a probe's vote, a probe's health.
ALIASES = {"failing": "down", "ok": "up", "healthy": "up", "stale": "degraded", "blind": "degraded", "lost": "down"}

# The colour of every other state word in the product. A word that is not listed is neutral.
TONES = {
    "open": "down",
    "triggered": "down",
    "investigating": "down",
    "failed": "down",
    "outcome_unknown": "down",
    "critical": "down",
    "major": "down",
    "acknowledged": "degraded",
    "identified": "degraded",
    "blocked": "degraded",
    "awaiting_approval": "degraded",
    "rolled_back": "degraded",
    "warning": "degraded",
    "minor": "degraded",
    "resolved": "up",
    "delivered": "up",
    "succeeded": "up",
    "monitoring": "info",
    "sending": "info",
    "approved": "info",
    "running": "info",
    "verifying": "info",
    "info": "info",
    "held": "maintenance",
    "scheduled": "maintenance",
}
# State words that do not read well when only their underscores are removed.
WORDS = {"dry_run": "Dry run", "outcome_unknown": "Outcome unknown", "rolled_back": "Rolled back", "ok": "OK"}


def _key(state: object) -> str:
    """The lower-case word of a state given as text, TextChoices or (Int)Enum member."""
    value = state if isinstance(state, str) else getattr(state, "name", state)
    return str(getattr(value, "value", value) or "").strip().lower()


@register.filter
def status_kind(state: object) -> str:
    """Which of the seven a state belongs to: the suffix of the CSS class `status-…`; what is not known is `unknown`."""
    key = _key(state)
    key = ALIASES.get(key, key)
    return key if key in STATES else "unknown"


@register.filter
def status_word(state: object) -> str:
    """The word a person reads: `Down`, `Degraded`, a probe's `Failing`, `Stale` …"""
    key = _key(state)
    return state_word(key) if key in ALIASES else STATES[status_kind(key)][0]


@register.filter
def status_shape(state: object) -> str:
    """The glyph of a state for plain text (mail subjects, titles): ● ▲ ■ ◆ ○ ‖ ◌."""
    return STATES[status_kind(state)][1]


@register.simple_tag
def status_svg(state: object) -> SafeString:
    """The shape of a state as a small inline drawing in currentColor; decorative, the word stands beside it."""
    kind = status_kind(state)
    return mark_safe(
        f'<svg class="shape shape-{kind}" viewBox="0 0 12 12" width="12" height="12" fill="currentColor" '
        f'aria-hidden="true" focusable="false">{STATES[kind][2]}</svg>'
    )


@register.filter
def state_word(state: object) -> str:
    """Any state word as text: `awaiting_approval` reads `Awaiting approval`."""
    key = _key(state)
    return WORDS.get(key) or key.replace("_", " ").capitalize() or DASH


@register.filter
def state_tone(state: object) -> str:
    """The tone of any state or severity word, for `badge-…`: up, degraded, down, maintenance, info or unknown."""
    key = _key(state)
    return TONES.get(key) or status_kind(key)


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return float(value)
    return None


@register.filter
def human_duration(value: object) -> str:
    """A length of time (seconds or timedelta) in at most two units: `42 s`, `6 min`, `3 h 12 min`, `4 d 2 h`, `23 d`.

    Always rounded down: six minutes and fifty seconds are not yet seven minutes. `–` when nothing is known.
    """
    seconds = _seconds(value)
    if seconds is None:
        return DASH
    whole = int(abs(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        hours, minutes = divmod(whole // 60, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(whole // 3600, 24)
    return f"{days} d {hours} h" if hours and days < 14 else f"{days} d"


def _instant(value: object) -> datetime | None:
    """A moment as an aware datetime; a naive one is read as UTC, a bare date as its midnight."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


@register.filter
def human_since(value: object, now: datetime | None = None) -> str:
    """How long ago (`6 min ago`) or how soon (`in 4 min`) a moment is; `just now` within five seconds, `never` for None."""
    at = _instant(value)
    if at is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if abs(seconds) < 5:
        return "just now"
    return f"{human_duration(seconds)} ago" if seconds > 0 else f"in {human_duration(seconds)}"


@register.filter
def elapsed(value: object, now: datetime | None = None) -> str:
    """How long a state has lasted, from its beginning until now: `6 min`; `–` when it has no beginning."""
    at = _instant(value)
    return DASH if at is None else human_duration(max(0.0, ((now or datetime.now(UTC)) - at).total_seconds()))


@register.filter
def ms(value: object) -> str:
    """A latency given in milliseconds: `0.8 ms`, `412 ms`, `1.24 s`, `12.4 s`; `–` for None."""
    amount = _seconds(value)
    if amount is None or amount != amount:
        return DASH
    if amount < 9.95:
        return f"{amount:.1f}".removesuffix(".0") + " ms"
    if amount < 999.5:
        return f"{amount:.0f} ms"
    if amount < 9995:
        return f"{amount / 1000:.2f} s"
    return f"{amount / 1000:.1f} s" if amount < 59950 else human_duration(amount / 1000)


@register.filter
def percent_uptime(value: object) -> str:
    """An uptime in percent (0..100): `99.98%`. Rounded down, so that only a flawless time reads `100%`; `–` for None."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return DASH
    if not amount.is_finite():
        return DASH
    amount = min(max(amount, Decimal(0)), Decimal(100))
    floored = amount.quantize(Decimal("0.01"), rounding=ROUND_FLOOR)
    return f"{floored:.0f}%" if floored in (0, 100) and floored == amount else f"{floored}%"


@register.simple_tag(takes_context=True)
def qs_replace(context: Mapping[str, Any], **changes: object) -> str:
    """The page's own query string with some keys changed: `{% qs_replace state="down" page=None %}` -> `?client=acme&state=down`.

    None and "" remove a key. Without a request it starts from nothing. Never empty: `?` alone clears every filter.
    """
    request = context.get("request")
    query: QueryDict = request.GET.copy() if request is not None else QueryDict(mutable=True)
    for key, value in changes.items():
        if value is None or value == "":
            query.pop(key, None)
        else:
            query[key] = str(value)
    return "?" + query.urlencode()
