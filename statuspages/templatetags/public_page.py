"""How do the public page's templates speak its language, and say times in its zone?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from statuspages import engine, pictures, words

register = template.Library()


@register.simple_tag(takes_context=True)
def say(context: Any, key: str, **parts: object) -> str:
    """A word of the page's language."""
    return words.word(context["language"], key, **parts)


@register.simple_tag(takes_context=True)
def moment(context: Any, at: str) -> SafeString:
    """A time as `<time>`, in the page's zone."""
    text = words.moment(context["language"], datetime.fromisoformat(at), context["zone"])
    return format_html('<time datetime="{}">{}</time>', at, text)


@register.simple_tag(takes_context=True)
def month_name(context: Any, month: str) -> str:
    """`November 2026`"""
    return words.month(context["language"], month)


@register.simple_tag(takes_context=True)
def share(context: Any, value: float) -> str:
    """`99.98 % uptime`"""
    return words.word(context["language"], "up_share", p=words.percent(context["language"], value))


@register.simple_tag(takes_context=True)
def day_bars(context: Any, component: Any) -> SafeString:
    """A component's ninety days."""
    return pictures.days(component["days"], context["language"], component["name"])


@register.simple_tag(takes_context=True)
def latency_line(context: Any, component: Any) -> SafeString:
    """A component's response times."""
    return pictures.latency(component.get("latency") or (), context["language"])


@register.simple_tag(takes_context=True)
def latency_words(context: Any, component: Any) -> str:
    """`Median by the hour: now 412 ms, highest 1.2 s`"""
    return pictures.latency_words(component.get("latency") or (), context["language"])


@register.filter
def status_shape_of(status: str) -> SafeString:
    """The shape that stands for a component's status."""
    return pictures.shape(status)


@register.filter
def tone_of(status: str) -> str:
    """Its colour: one of the seven states' names."""
    return engine.SHAPES.get(status, "unknown")


@register.filter
def severity_tone(severity: str) -> str:
    """The colour of an incident."""
    return engine.SHAPES[engine.BY_SEVERITY.get(severity, engine.DEGRADED)]


@register.filter
def clean(html: str) -> SafeString:
    """Text that `portal.markup.markdown` has cleaned when the page was built; nothing else may be passed here."""
    return mark_safe(html)
