"""Are the smallest components, drawn hundreds of times on a page, what their templates say, and never what another was given?"""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates, TemplatesSetting
from django.template import TemplateSyntaxError, engines
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.safestring import mark_safe

from portal.templatetags import parts

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 11, 21, 14, 38, tzinfo=UTC)
HOSTILE = '"><script>alert(1)</script>'


def render(source: str, **context: object) -> str:
    return engines["django"].from_string(source).render(context)


@pytest.mark.parametrize(("part", "given"), [("icon", {"name": "plus"}), ("icon", {"name": "plus", "label": "Add"}), ("status", {"state": "down"}), ("status", {"state": "up", "only": True, "word": "Fine"}), ("badge", {"state": "open", "text": "New", "tone": "up"}), ("severity", {"severity": "critical"})])  # fmt: skip
def test_a_component_is_its_template_the_first_time_and_again(part: str, given: dict[str, object]) -> None:
    as_written = render_to_string(f"components/{part}.html", given).strip()
    words = " ".join(f"{name}={name}" for name in given)
    for _ in range(2):
        assert render(f'{{% component "{part}" {words} %}}', **given) == as_written


def test_what_is_marked_safe_does_not_stand_in_for_the_same_words_unmarked() -> None:
    word = "<b>bold</b>"
    assert word in parts.component("status", state="up", word=mark_safe(word))
    assert word not in parts.component("status", state="up", word=word)
    assert HOSTILE not in parts.component("badge", state=HOSTILE) + parts.component("icon", name="x", label=HOSTILE)


def test_a_component_sees_nothing_of_the_page_and_refuses_what_it_does_not_know() -> None:
    assert "Elsewhere" not in render('{% component "status" state="up" %}', word="Elsewhere")
    with pytest.raises(TypeError, match="status does not know colour"):
        render('{% component "status" state="up" colour="red" %}')
    with pytest.raises((KeyError, TemplateSyntaxError)):
        render('{% component "nothing" %}')


def test_every_template_names_a_component_and_what_it_knows() -> None:
    """A mistake in a branch that is seldom shown would be found by whoever sees it."""
    used = [(path.name, m[1], set(re.findall(r"(\w+)=", re.sub(r'"[^"]*"', "", m[2])))) for path in (ROOT / "templates").rglob("*.html") for m in re.finditer(r'{% component "(\w+)"([^%]*)%}', path.read_text())]  # fmt: skip
    assert len(used) > 150 and [u for u in used if u[1] not in parts.PARTS or not u[2] <= set(parts.PARTS[u[1]])] == []


@pytest.mark.parametrize("fact", [["down"], {"state": "down"}, 3.5, b"x"])
def test_what_a_stranger_calls_a_state_is_drawn_whatever_it_is(fact: object) -> None:
    assert 'class="status status-unknown"' in parts.component("status", state=fact)
    assert "never" in parts.moment(fact)


def test_a_moment_is_said_in_the_readers_zone_and_language() -> None:
    with timezone.override("Europe/Lisbon"), translation.override("en"):
        assert "14:38</time>" in parts.moment(datetime(2026, 11, 21, 14, 38, tzinfo=UTC), "date")
    with timezone.override("America/New_York"), translation.override("fr"):
        said = parts.moment(AT, "date")
        assert 'datetime="2026-11-21T09:38:00-05:00"' in said and "09:38" in said and "nov" in said.lower()
    assert "never" in parts.moment(None) and "&lt;b&gt;" in parts.moment(None, "ago", "<b>")
    assert "00:00" in parts.moment(date(2026, 11, 21), "clock")


def test_one_instant_is_said_in_each_readers_own_zone_and_the_hour_that_comes_twice_twice() -> None:
    for zone, title in (("UTC", "21 Nov 2026, 14:38:00 UTC"), ("America/New_York", "21 Nov 2026, 09:38:00 EST")):
        with timezone.override(zone):
            assert f'title="{title}"' in parts.moment(AT)
    with timezone.override("Europe/Lisbon"):
        summer, winter = (parts.moment(datetime(2026, 10, 25, hour, 30, tzinfo=UTC)) for hour in (0, 1))
    assert "01:30:00+01:00" in summer and "WEST" in summer and "01:30:00+00:00" in winter and "01:30:00 WET" in winter


class Form(forms.Form):
    """One of each that our own widget templates draw."""

    one = forms.ChoiceField(choices=[("", "–"), ("a", HOSTILE), ("Group", [("b", "B"), ("c", "C & c")])], initial="b")
    many = forms.MultipleChoiceField(choices=[(1, "One"), (2, HOSTILE)], initial=[2], widget=forms.SelectMultiple)
    ticks = forms.MultipleChoiceField(
        choices=[(1, "One"), (2, HOSTILE)], initial=[2], widget=forms.CheckboxSelectMultiple
    )
    radio = forms.ChoiceField(
        choices=[("x", "X"), ("Group", [("y", "Y")])], initial="y", widget=forms.RadioSelect(attrs={"class": "wide"})
    )


@pytest.mark.parametrize("name", ["one", "many", "ticks", "radio"])
def test_lists_of_choices_say_what_djangos_own_templates_say(name: str) -> None:
    ours, djangos = (re.sub(r">\s+<", "><", " ".join(str(Form(renderer=r)[name]).split())) for r in (TemplatesSetting(), DjangoTemplates()))  # fmt: skip
    assert ours == djangos and "<script>" not in ours


def test_what_a_web_process_loaded_is_not_looked_through_again() -> None:
    """In a process of its own: the collector's state is the process's."""
    code = "import gc; from portal import wsgi; from django.core.signals import request_finished as f; a = gc.get_freeze_count()\nkeep = [[] for _ in range(5000)]\nfor _ in range(100): f.send(None)\nprint(a, gc.get_freeze_count(), gc.get_threshold()[0])"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)  # fmt: skip
    first, later, threshold = map(int, said.stdout.split())
    assert first > 50_000 and later >= first + 5000 and threshold == 10_000
