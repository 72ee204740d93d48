"""Is every forbidden address refused when it is saved, in every setting that leads somewhere, through every door?"""

from __future__ import annotations

import html
import json

import pytest
from django.core.exceptions import ValidationError

from alerts.models import Channel
from console.configuration import document, running
from monitors.models import Monitor
from portal.models import Client
from tests import cast
from tests.console.visiting import browser, form_of
from tests.monitors import rows
from tests.security import addresses
from tests.security.sinks import HOST, PLACE, URL, Sink, sinks

pytestmark = pytest.mark.once
EVERY = list(sinks())
each_sink = pytest.mark.parametrize("sink", EVERY, ids=lambda sink: sink.name)


@pytest.fixture(autouse=True)
def nothing_is_allowed(settings):
    settings.OUTBOUND_ALLOW = ()


def refused(sink: Sink, text: str) -> bool:
    try:
        sink.save(text)
    except (ValidationError, ValueError, OSError) as error:
        assert not isinstance(error, OSError), error
        return True
    except Exception as error:
        if type(error).__module__.startswith("rest_framework"):
            return True
        raise
    return False


def texts(sink: Sink) -> list[str]:
    hosts = addresses.HOSTS
    if sink.form == URL:
        others = (url for url in addresses.OTHERS if not (url.startswith("ws:") and sink.good.startswith("ws")))
        return [*(addresses.instead(sink.good, a) for a in addresses.AUTHORITIES), *others]
    if sink.form == HOST:
        return list(hosts)
    assert sink.form == PLACE
    return [*hosts, *(f"[{h}]:5300" if ":" in h else f"{h}:5300" for h in hosts)]


@each_sink
def test_a_good_address_is_taken(sink: Sink) -> None:
    sink.save(sink.good)


@each_sink
def test_nothing_of_the_corpus_is_taken(sink: Sink) -> None:
    asked = [text for text in texts(sink) if text.strip()]
    assert len(asked) >= 150
    assert not [text for text in asked if not refused(sink, text)]


# --- Through every door ----------------------------------------------------------------------------------------------------
LEADS_HOME = ("http://127.0.0.1:8000/", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest/meta-data/", "http://2130706433/", "http://localhost/")  # fmt: skip
HONEST = "https://hooks.example.com/x"


def api(path: str, **body: object) -> bool:
    """Does the API take it from Acme's admin?"""
    answer = cast.api(cast.alice()).post(path, {"client": cast.acme().pk, "name": "in", **body}, format="json")
    assert answer.status_code in (201, 400), answer.content[:300]
    return answer.status_code == 201


def assistant(tool: str, **arguments: object) -> bool:
    body = {"client": cast.acme().pk, "name": "in", **arguments}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": body}}
    said = cast.api(cast.alice()).post("/mcp", call, format="json").json()
    return not said["result"]["isError"]


def page(path: str, **typed: object) -> bool:
    answer = browser(cast.alice()).post(path, {"client": cast.acme().pk, "name": "in", **typed})
    assert answer.status_code in (302, 400), answer.status_code
    return answer.status_code == 302


def form(path: str, **typed: object) -> bool:
    return page(path, **form_of(browser(cast.alice()).get(path)) | typed)


def file(text: str, **secrets: str) -> bool:
    """A file of configuration, as our own staff apply it."""
    whole = f"version: 1\nclients:\n  - {{slug: acme, name: Acme}}\n{text}"
    return not running.carry_out(document.read([("it.yaml", whole)], secrets), commit=True).problems


DOORS = {
    "API monitor": lambda url: api("/api/v1/monitors", kind="http", config={"url": url}),
    "API channel": lambda url: api("/api/v1/channels", type="webhook", config={"url": url}),
    "API client": lambda url: cast.api(cast.alice()).patch(f"/api/v1/clients/{cast.acme().pk}", {"slack_webhook": url}, format="json").status_code == 200,
    "MCP channel": lambda url: assistant("create_channel", type="webhook", config={"url": url}),
    "page, monitor": lambda url: form("/monitors/add/", kind="http", config_url=url),
    "page, trial of a monitor": lambda url: browser(cast.alice()).post("/monitors/add/", {**form_of(browser(cast.alice()).get("/monitors/add/")), "kind": "http", "client": cast.acme().pk, "name": "in", "config_url": url, "test": "1"}).status_code == 200,
    "page, CSV of monitors": lambda url: page("/monitors/several/", lines=f"name,kind,url\nin,http,{url}", create="1"),
    "page, channel": lambda url: page("/channels/add/", type="webhook", enabled="on", config_url=url),
    "file, monitor": lambda url: file(f"monitors:\n  - {{client: acme, name: in, kind: http, config: {{url: '{url}'}}}}\n"),
    "file, channel": lambda url: file(f"channels:\n  - {{client: acme, name: in, type: webhook, config: {{url: '{url}'}}}}\n"),
    "file, client": lambda url: file("  - {slug: globex, name: Globex, slack_webhook: !secret HOOK}\n", HOOK=url),
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("door", [d for d in DOORS if "trial" not in d])
def test_an_honest_address_comes_in_by_each_door(door: str) -> None:
    rows.probe(), cast.acme()
    assert DOORS[door](HONEST)


@pytest.mark.django_db
@pytest.mark.parametrize("door", DOORS)
def test_no_forbidden_address_comes_in_by_any_door(door: str) -> None:
    rows.probe(), cast.acme()
    assert not [url for url in LEADS_HOME if DOORS[door](url)]
    assert not Monitor.objects.exists() and not Channel.objects.filter(name="in").exists()
    assert not any(c.slack_webhook for c in Client.objects.all())


@pytest.mark.django_db
@pytest.mark.parametrize("config", [
    {"kind": "http", "config": {"url": "https://shop.acme.example/", "proxy": "http://127.0.0.1:3128"}},
    {"kind": "dns", "config": {"name": "acme.example", "resolver": "127.0.0.1:53"}},
    {"kind": "dns", "config": {"name": "acme.example", "resolver": "[::1]:53"}},
    {"kind": "domain", "config": {"name": "acme.example", "rdap_url": "http://169.254.169.254/"}},
    {"kind": "domain", "config": {"name": "acme.example", "whois_server": "localhost:4343"}},
    {"kind": "tcp", "config": {"host": "::1", "port": 6379}},
], ids=lambda c: next(n for n in c["config"] if n not in ("name", "port")))  # fmt: skip
def test_the_refusal_stands_at_the_setting(config: dict) -> None:
    rows.probe()
    answer = cast.api(cast.alice()).post("/api/v1/monitors", {"client": cast.acme().pk, "name": "in", **config}, format="json")  # fmt: skip
    said = html.unescape(json.dumps(answer.json()))
    (field,) = (n for n in ("url", "proxy", "resolver", "rdap_url", "whois_server", "host") if n in config["config"] and config["config"][n] != "https://shop.acme.example/")  # fmt: skip
    assert answer.status_code == 400 and f"config.{field}" in said and "OUTBOUND_ALLOW" in said, said
