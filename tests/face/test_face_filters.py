"""Do times, latencies, uptimes and states read the same, and right, wherever they are shown?"""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from pathlib import Path

import pytest
from django import forms
from django.conf import settings
from django.template import engines
from django.template.loader import render_to_string
from django.test import RequestFactory

from portal.templatetags import face

NONCE = r"nonce=\"\{\{ request\.csp_nonce \}\}\""  # an accent of judged colours (portal.branding)
NOW = datetime(2026, 11, 21, 14, 38, tzinfo=UTC)
# The settings of the template engine name the library as builtin: no load tag.
TEMPLATES = Path(settings.BASE_DIR) / "templates"


def render(source: str, **context: object) -> str:
    """Without a request, so that no context processor runs."""
    return engines["django"].from_string(source).render(context).strip()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        # Rounded down: it is not seven minutes yet.
        (6 * 60 + 50, "6 min"),
        (3600, "1 h"),
        (3 * 3600 + 12 * 60, "3 h 12 min"),
        (timedelta(days=4, hours=2), "4 d 2 h"),
        # Beyond two weeks the hours no longer matter.
        (timedelta(days=23, hours=5), "23 d"),
        (-120, "2 min"),
        (None, "–"),
        ("soon", "–"),
    ],
)
def test_durations_have_two_units_at_most(value: object, words: str) -> None:
    assert face.human_duration(value) == words


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (NOW - timedelta(seconds=3), "just now"),
        (NOW - timedelta(minutes=6), "6 min ago"),
        (NOW + timedelta(minutes=4), "in 4 min"),
        ((NOW - timedelta(hours=2)).astimezone(timezone(timedelta(hours=9))), "2 h ago"),
        ((NOW - timedelta(minutes=6)).replace(tzinfo=None), "6 min ago"),
        (date(2026, 11, 20), "1 d 14 h ago"),
        (None, "never"),
    ],
)
def test_moments_are_said_relative_to_now(at: object, words: str) -> None:
    assert face.human_since(at, NOW) == words


def test_a_state_that_begins_in_the_future_has_lasted_for_nothing() -> None:
    assert face.elapsed(NOW + timedelta(seconds=9), NOW) == "0 s"
    assert face.elapsed(NOW - timedelta(minutes=6), NOW) == "6 min"
    assert face.elapsed(None, NOW) == "–"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0 ms"),
        (0.84, "0.8 ms"),
        (9.96, "10 ms"),
        (412.4, "412 ms"),
        # Never "1000 ms" by rounding.
        (999.7, "1.00 s"),
        (1240, "1.24 s"),
        (12_400, "12.4 s"),
        (61_000, "1 min"),
        (Decimal("412"), "412 ms"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_latency_changes_its_unit(value: object, words: str) -> None:
    assert face.ms(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (100, "100%"),
        # One failed check in a million is not a flawless month.
        (99.9999, "99.99%"),
        (99.954, "99.95%"),
        (Decimal("99.5"), "99.50%"),
        (0, "0%"),
        (0.004, "0.00%"),
        (100.0001, "100%"),
        (None, "–"),
        ("n/a", "–"),
        (float("nan"), "–"),
    ],
)
def test_uptime_is_never_rounded_up(value: object, words: str) -> None:
    assert face.percent_uptime(value) == words


def test_the_seven_states_differ_in_word_shape_and_drawing() -> None:
    states = ["up", "degraded", "down", "maintenance", "unknown", "paused", "pending"]
    assert [face.status_shape(s) for s in states] == ["●", "▲", "■", "◆", "○", "‖", "◌"]
    assert len({face.status_word(s) for s in states}) == len({face.status_svg(s) for s in states}) == 7


def test_states_are_understood_in_any_form() -> None:
    class Status(IntEnum):
        UP = 1
        FAILING = 3

    assert face.status_kind(Status.UP) == "up"
    assert (face.status_kind(Status.FAILING), face.status_word(Status.FAILING)) == ("down", "Failing")
    assert (face.status_kind("DOWN"), face.status_kind("stale")) == ("down", "degraded")
    assert face.status_kind(None) == face.status_kind('"><script>') == "unknown"


def test_other_state_words_have_a_tone_and_read_well() -> None:
    assert (face.state_word("awaiting_approval"), face.state_tone("awaiting_approval")) == (
        "Awaiting approval",
        "degraded",
    )
    assert (face.state_tone("delivered"), face.state_tone("critical"), face.state_tone("expired")) == (
        "up",
        "down",
        "unknown",
    )
    assert face.state_word("") == "–"


def test_the_query_string_keeps_the_other_filters() -> None:
    request = RequestFactory().get("/monitors/", {"client": "a&b", "state": "up", "page": "3"})
    changed = render('{% qs_replace state="down" page=None as address %}{{ address|safe }}', request=request)
    assert changed == "?client=a%26b&state=down"
    assert render("{% qs_replace page=2 %}") == "?page=2"
    assert render('{% qs_replace client="" state="" page="" %}', request=request) == "?"


def test_a_status_is_shape_and_word_and_carries_no_style() -> None:
    html = render_to_string("components/status.html", {"state": "down"})
    assert "status-down" in html and "<svg" in html and ">Down</span>" in html and "style=" not in html


def test_words_from_outside_are_escaped() -> None:
    assert "&lt;b&gt;" in render_to_string("components/status.html", {"state": "up", "word": "<b>"})
    assert "<script>" not in render_to_string("components/badge.html", {"state": "<script>"})
    assert "<script>" not in render_to_string(
        "components/confirm.html", {"id": "x", "title": "<script>", "body": "<script>", "label": "<script>"}
    )


def test_a_time_is_exact_for_machines_and_on_hover() -> None:
    html = render_to_string("components/time.html", {"at": NOW, "mode": "date"})
    assert 'datetime="2026-11-21T14:38:00+00:00"' in html and 'title="21 Nov 2026, 14:38:00 UTC"' in html
    assert "data-relative" not in html
    assert 'data-relative="ago"' in render_to_string("components/time.html", {"at": NOW})
    assert "not yet" in render_to_string("components/time.html", {"at": None, "never": "not yet"})


def test_inline_components_add_no_space_before_a_comma() -> None:
    for name in ("icon", "status", "severity", "badge", "time"):
        assert not (TEMPLATES / "components" / f"{name}.html").read_text().endswith("\n")


def test_a_field_error_stands_at_its_field_and_is_announced_with_it() -> None:
    class Address(forms.Form):
        url = forms.URLField(help_text="What to watch.", assume_scheme="https")
        verify = forms.BooleanField(required=False)
        probes = forms.MultipleChoiceField(
            choices=[("1", "Frankfurt")], widget=forms.CheckboxSelectMultiple, required=False
        )

    html = render_to_string("components/form.html", {"form": Address({"url": "no address"}), "submit": "Save monitor"})
    described = re.search(r'aria-describedby="([^"]+)"', html)
    assert described and all(f'id="{name}"' in html for name in described[1].split())
    assert 'aria-invalid="true"' in html and "one field needs" in html and "Save monitor" in html
    assert 'role="group" aria-labelledby="id_probes_label"' in html and html.count("field-check") == 1


@pytest.mark.parametrize("page", ["403.html", "403_csrf.html", "404.html", "500.html", "503.html"])
def test_error_pages_need_no_context_and_obey_the_content_policy(page: str) -> None:
    html = render_to_string(page)
    assert (
        "<h1>" in html
        and "style=" not in html
        and not re.search(r"<script(?![^>]* src=)|<style|\son(?!ly)[a-z]+=", html)
    )


def test_no_template_breaks_the_content_policy() -> None:
    ours = [*TEMPLATES.glob("*.html"), *(TEMPLATES / "components").glob("*"), *(TEMPLATES / "admin").glob("*.html")]
    for path in ours:
        text = path.read_text()
        assert not re.search(
            rf"\sstyle=|<style(?! {NONCE}>)|<script(?![^>]* src=)|\son(?!ly)[a-z]+=|javascript:", text
        ), path.name


def test_every_icon_that_a_template_names_is_drawn() -> None:
    drawn = set(re.findall(r'id="i-([\w-]+)"', (TEMPLATES / "components" / "icons.svg").read_text()))
    named = {
        n for p in TEMPLATES.rglob("*.html") for n in re.findall(r'icon\.html" with name="([\w-]+)"', p.read_text())
    }
    assert named <= drawn
