"""Is every setting that says where to connect in the table of `sinks.py`, and every way out known?"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db import models
from pydantic import ValidationError

from monitors import checks
from tests.security import sinks

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("alerts", "console", "incidents", "monitors", "playbooks", "portal", "statuspages")
LIKE_AN_ADDRESS = re.compile(
    r"(?:^|_)(?:urls?|uri|hosts?|server|endpoint|proxy|resolver|callback|webhook|hook|base|gateway|address|domain)(?:_|$)"
)
# What the guard says of this text, whoever asks it: a setting that answers so is read as a URL or as a host.
ODD = "http://a.example\\@127.0.0.1/"
GUARDS_WORDS = re.compile(r"backslash|valid host name|user name or password|URLs are accepted|must start with http")


# --- Settings ------------------------------------------------------------------------------------------------------------
def read_as_an_address(config: type, field: str) -> bool:
    for value in (ODD, [ODD]):
        try:
            config.model_validate({field: value})
        except ValidationError as error:
            if any(e["loc"][:1] == (field,) and GUARDS_WORDS.search(e["msg"]) for e in error.errors()):
                return True
    return False


def test_every_setting_that_leads_somewhere_is_in_the_table() -> None:
    known = sinks.CHANNELS.keys() | sinks.MONITORS.keys() | sinks.STEPS.keys() | sinks.NOT_DIALLED.keys()
    found = {
        (kind, field)
        for kind, config in sinks.plugins()
        for field in config.model_fields
        if LIKE_AN_ADDRESS.search(field) or read_as_an_address(config, field)
    }
    assert found <= known, f"tell tests/security/sinks.py how these are refused: {sorted(found - known)}"
    dialled = known - sinks.NOT_DIALLED.keys()
    assert dialled <= found, f"gone: take them out of tests/security/sinks.py: {sorted(dialled - found)}"


def test_a_new_setting_would_be_found() -> None:
    from monitors.checks.base import CheckConfig, Url

    class New(CheckConfig):
        aim: Url = "https://a.example/"
        callback_url: str = ""
        word: str = ""

    found = [f for f in New.model_fields if LIKE_AN_ADDRESS.search(f) or read_as_an_address(New, f)]
    assert found == ["aim", "callback_url"]


def test_every_check_says_where_it_leads() -> None:
    assert {(kind, field) for kind, cls in checks.KINDS.items() for field in cls.leads_to} == sinks.MONITORS.keys()


# --- Columns -------------------------------------------------------------------------------------------------------------
COLUMNS = {
    "portal.Client.slack_webhook": "dialled: a sink of the table",
    "statuspages.Subscriber.address": "dialled: a sink of the table",
    "monitors.Probe.anchors": "staff name them; asked for a bare TCP connection, nothing is sent or shown",
    "portal.Site.url": "shown as a link", "portal.Site.address": "a street",
    "monitors.Monitor.runbook_url": "shown as a link", "statuspages.Page.support_url": "shown as a link",
    "alerts.Alert.links": "shown as links", "statuspages.Page.custom_domain": "asked of DNS only",
    "portal.Branding.domain": "a name that the portal answers to", "portal.Worker.host": "our own machine's name", "monitors.Probe.hostname": "what a probe says of itself",
    "monitors.Baseline.address": "an address that was seen",
}  # fmt: skip


def test_every_column_that_looks_like_an_address_is_known() -> None:
    own = [m for m in apps.get_models() if m._meta.app_label in PACKAGES]
    found = {
        f"{m._meta.label}.{f.name}"
        for m in own
        for f in m._meta.concrete_fields
        if isinstance(f, models.URLField)
        or (
            isinstance(f, models.CharField | models.TextField | models.JSONField)
            and re.search(r"url|uri|host|server|endpoint|proxy|webhook|address|domain$|links|callback|anchors", f.name)
        )
        and not f.name.endswith("_hash")
    }
    assert found == COLUMNS.keys(), "say in COLUMNS what is done with it; one that is dialled is a sink"


# --- Ways out ------------------------------------------------------------------------------------------------------------
# Who may dial, by what, and why that is guarded. Everything else asks one of these.
GUARDED = "checks every address before it dials"
DIALS: dict[str, str] = {
    "alerts/channels/apprise.py": "apprise: schemes with fixed hosts, staff only",
    "alerts/sender.py": GUARDED, "alerts/twoway/replying.py": GUARDED, "alerts/twoway/ringing.py": GUARDED,
    "monitors/blindness.py": "anchors that staff named", "monitors/probe/anchors.py": "anchors that staff named",
    "monitors/checks/connection.py": GUARDED, "monitors/checks/datagram.py": GUARDED, "monitors/checks/dns.py": GUARDED,
    "monitors/checks/grpc.py": GUARDED, "monitors/checks/icmp.py": GUARDED,
    "monitors/diagnosis/diagnostician.py": GUARDED, "monitors/diagnosis/handshake.py": "the battery asks the guard first",
    "monitors/diagnosis/questions.py": "the battery asks the guard first",
    "monitors/diagnosis/rawsockets.py": "the battery asks the guard first",
    "monitors/diagnosis/unprivileged.py": "the battery asks the guard first",
    "monitors/hosts/docker.py": "a Unix socket; staff's monitors only", "monitors/probe/containers.py": "a Unix socket",
    "monitors/diagnosis/networks.py": "how addresses are written", "monitors/nameservers.py": "a look-up", "portal/names.py": "a look-up", "statuspages/domains.py": "a look-up",
    "monitors/probe/discovery.py": "a probe that looks around its own network, as staff asked",
    "monitors/probe/jobs.py": GUARDED, "monitors/probe/link.py": "a probe calls its own portal",
    "monitors/probe/main.py": "a Unix socket, and its own name", "monitors/probe/runner.py": "its own name",
    "monitors/running.py": GUARDED, "monitors/trial.py": GUARDED,
    "playbooks/codes.py": GUARDED, "playbooks/fetching.py": GUARDED, "playbooks/steps/dns_rfc2136.py": GUARDED,
    "portal/audit_heads.py": GUARDED, "portal/deadman.py": "the environment's own address", "portal/oidc.py": GUARDED,
    "portal/residents.py": "its own name", "portal/slots.py": "its own name", "portal/smtp.py": GUARDED,
    "portal/database.py": "the environment's own database",
    "portal/health.py": "the environment's own broker", "portal/cache.py": "the environment's own broker",
    "portal/bells.py": "the environment's own broker",
    "statuspages/bucket.py": "the environment's own bucket",
}  # fmt: skip
LIBRARIES = frozenset(
    ("aiodns", "aiohttp", "aiosmtpd", "apprise", "ftplib", "http.client", "httpx", "imaplib", "nntplib", "paramiko", "poplib")
    + ("pycares", "pycurl", "redis", "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "twilio.rest")
    + ("urllib.request", "urllib3", "websockets", "xmlrpc.client")
)  # fmt: skip
HARMLESS = frozenset(("ssl",))  # a context of it dials nobody
NAMES = frozenset(("HttpEngine", "CurlLoop", "Transfer", "open_connection", "create_connection", "create_datagram_endpoint",
                   "open_unix_connection", "create_unix_connection", "asyncquery", "urlopen", "urlretrieve"))  # fmt: skip
SHELLS = ("os.system", "os.popen", "subprocess.getoutput", "asyncio.create_subprocess_shell", "eval", "exec")
_ROOTS = "|".join(sorted({name.partition(".")[0] for name in LIBRARIES - HARMLESS} | {"dns"}))
WORTH_READING = re.compile(
    rf"^[ \t]*(?:import|from)[ \t]+(?:{_ROOTS})\b|\b(?:{'|'.join(sorted(NAMES))})\b|\bshell[ ]*=|os\.system|popen|getoutput"
    r"|\b(?:eval|exec)\(",
    re.MULTILINE,
)
# A command of staff's, not of the portal.
APART = ("console/demo/", "console/management/", "portal/outbound/", "/migrations/")


@functools.cache
def sources() -> list[tuple[str, ast.Module]]:
    """Every module that a portal or a probe runs, and what is written in it."""
    return list(_sources())


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            text = path.read_text("utf-8")
            if not any(part in name for part in APART) and WORTH_READING.search(text):
                yield name, ast.parse(text)


def dials(tree: ast.Module) -> set[str]:
    """What in a module could open a connection: libraries that it imports, names that do."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name in LIBRARIES or a.name == "dns.asyncquery"}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
            found |= (whole & LIBRARIES) | {w for w in whole if w in ("dns.query", "dns.asyncquery", "dns.resolver")}
        elif isinstance(node, ast.Call):
            called = node.func
            found |= {ast.unparse(called).rpartition(".")[2]} & NAMES
        elif isinstance(node, ast.Attribute) and node.attr in ("asyncquery", "asyncresolver"):
            found.add(f"dns.{node.attr}")
    return found - HARMLESS


def test_only_those_who_are_known_open_connections() -> None:
    found = {name: what for name, tree in sources() if (what := dials(tree))}
    strangers = {name: what for name, what in found.items() if name not in DIALS}
    assert not strangers, f"ask portal.outbound, or say in DIALS why it is guarded: {strangers}"


@pytest.mark.parametrize(
    "text",
    ["import requests", "from urllib.request import urlopen", "import http.client", "import socket", "from httpx import get",
     "asyncio.open_connection('a', 1)", "HttpEngine()", "dns.asyncquery.udp(q, 'a')", "from requests.adapters import x; import urllib3"],
)  # fmt: skip
def test_a_new_way_out_would_be_found(text: str) -> None:
    assert dials(ast.parse(text))


def test_whoever_dials_by_itself_asks_the_guard() -> None:
    """In each module that opens sockets of its own and is said to be guarded, a question to the guard stands."""
    asks = ("check_address", "allowed_addresses", "HttpEngine", "Reach")
    silent = [
        name for name, why in DIALS.items() if why == GUARDED and not any(word in (ROOT / name).read_text("utf-8") for word in asks)
    ]  # fmt: skip
    assert not silent


def test_no_shell_is_ever_started() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            any(k.arg == "shell" and not (isinstance(k.value, ast.Constant) and k.value.value is False) for k in node.keywords)
            or ast.unparse(node.func) in SHELLS
        )
    ]  # fmt: skip
    assert not wrong
