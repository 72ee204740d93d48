"""Does Apprise reach the long tail, and nothing else? No typed host, no strange argument, no redirect, no secret in a log."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from apprise import URLBase
from apprise.manager_plugins import NotificationManager

from alerts import channels
from alerts.channels.apprise import ALLOWED, Apprise
from alerts.channels.base import DeliveryError
from tests.alerts.letters import GATHERED, HOSTILE, LOOPBACK, PAGE, RECOVERED, TEST, trapped
from tests.alerts.vendors.apprise import KEY, VENDOR
from tests.alerts.vendors.desk import at_work
from tests.rig import answers
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    importable = NotificationManager()
    importable.load_modules()
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def apprise(url: str = f"prowl://{KEY}") -> Apprise:
    built = channels.build({"type": "apprise", "config": {}, "secrets": {"url": url}}, {}, LOOPBACK)
    assert isinstance(built, Apprise)
    return built


# --- where it may go -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url",
    ["json://127.0.0.1/", "jsons://inside.example/x", "http://127.0.0.1/", "https://discord.com/api/webhooks/1/x"]
    + ["mailto://user:pass@127.0.0.1", "ntfy://127.0.0.1/topic", "gotify://127.0.0.1/token", "xml://169.254.169.254"],
)
def test_what_has_a_type_of_its_own_is_sent_there_instead(url: str) -> None:
    with pytest.raises(channels.InvalidSettings, match="has a channel type of its own"):
        channels.split("apprise", {"url": url})


@pytest.mark.parametrize(
    "url",
    ["matrix://user:pass@127.0.0.1/room", "mqtt://127.0.0.1/topic", "syslog://", "rsyslog://127.0.0.1", "dbus://"]
    + [
        "apprise://127.0.0.1/token",
        "signal://127.0.0.1:8080/+351",
        "mmost://127.0.0.1/t",
        "irc://127.0.0.1/#x",
        "nope://x",
    ],
)
def test_a_service_whose_host_is_typed_or_local_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(channels.InvalidSettings, match="only when its host is fixed"):
        channels.split("apprise", {"url": url})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"prowl://{KEY}?redirect=yes", "argument redirect is not offered"),
        (f"prowl://{KEY}?template=/etc/passwd", "argument template is not offered"),
        (f"prowl://{KEY}?verify=no", "argument verify is not offered"),
        (f"prowl://{KEY}?rto=900&priority=2", "argument rto is not offered"),
        (f"prowl://{KEY} json://127.0.0.1/", "Enter one Apprise URL"),
        (f"prowl://{KEY}\njson://127.0.0.1/", "Enter one Apprise URL"),
        ("prowl", "Enter one Apprise URL"),
    ],
)
def test_an_argument_or_a_second_url_that_could_lead_elsewhere_is_refused(url: str, said: str) -> None:
    with pytest.raises(channels.InvalidSettings, match=said) as refusal:
        channels.split("apprise", {"url": url})
    assert KEY not in str(refusal.value)


def test_a_second_url_behind_a_comma_is_never_dialled(server: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    dialled = heard(monkeypatch)
    url = f"prowl://{KEY},json://127.0.0.1:{server.port}/"
    try:
        apprise(url).send(PAGE)
    except DeliveryError:
        pass
    assert not [url for url in dialled if "/publicapi/" not in url]


def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every URL that the library would dial, instead of dialling it."""
    found: list[str] = []

    def send(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        found.append(str(request.url))
        assert options.get("allow_redirects") is not True, f"{request.url}: redirects are followed"
        raise requests.ConnectionError("not dialled")

    monkeypatch.setattr(requests.Session, "send", send)
    monkeypatch.setattr(URLBase, "throttle", lambda self, *args, **options: None)
    return found


@pytest.mark.parametrize("scheme", sorted(ALLOWED))
def test_no_offered_service_can_be_talked_into_another_host(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = NotificationManager()
    manager.load_modules()
    assert scheme in manager, f"Apprise does not know {scheme}"
    plugin = manager[scheme]
    assert not any("{host" in form or "{port}" in form for form in plugin.templates)
    dialled = heard(monkeypatch)
    evil = ("127.0.0.1", "evil.example", "127.0.0.1:8080", "evil.example%2F", "1" * 36, "a" * 40)
    for form, first, second in itertools.product(plugin.templates, evil, evil):
        names = iter(itertools.chain([first, second], itertools.repeat(first)))
        url = re.sub(r"{(\w+)}", lambda m, n=names: scheme if m[1] == "schema" else next(n), form)
        try:
            channel = apprise(url)
        except channels.InvalidSettings:
            continue
        if not channel.ready():
            try:
                channel.send(PAGE)
            except DeliveryError:
                pass
    own = [
        v for n, v in vars(plugin).items() if isinstance(v, str) and v.startswith("http") and not n.endswith("p_url")
    ]
    fixed = [v for n, v in vars(plugin).items() if n not in ("service_url", "setup_url") and v in own]
    assert fixed and not any("{" in urlsplit(v).netloc or "%" in urlsplit(v).netloc for v in fixed)
    for url in dialled:
        host = urlsplit(url).hostname or ""
        assert "evil" not in host and not host.startswith("127.") and not re.fullmatch(r"[1a.]+", host), url
        assert urlsplit(url).scheme == "https", url


# --- what is said ----------------------------------------------------------------------------------------------------
def test_a_page_is_taken_with_its_links(server: Receiver) -> None:
    receipt = apprise().send(PAGE)
    (call,) = server.accepted("/publicapi/add")
    form = call.form()
    assert form["event"] == ["[Down] Acme · shop — connection refused"] and receipt.answer == "Prowl took it"
    for link in PAGE.links:
        assert f"{link.label}: {link.url}" in form["description"][0]


@pytest.mark.parametrize(
    "message", [RECOVERED, GATHERED, TEST, replace(PAGE, kind="acknowledged"), trapped("😀" * 9000)]
)
def test_every_kind_of_message_is_taken(server: Receiver, message: Any) -> None:
    apprise().send(message)
    assert len(server.accepted("/publicapi/add")) == 1


def test_a_name_shows_as_typed_and_a_repeat_says_so(server: Receiver) -> None:
    apprise().send(replace(trapped(HOSTILE), attempt=2))
    text = server.calls[0].form()["description"][0]
    assert HOSTILE in text and "#K7Q (repeat)" in text


# --- what became of it -----------------------------------------------------------------------------------------------
def test_a_wrong_key_is_final_and_stays_secret(server: Receiver) -> None:
    wrong = "f" * 40
    with pytest.raises(DeliveryError) as refusal:
        apprise(f"prowl://{wrong}").send(PAGE)
    assert refusal.value.permanent and refusal.value.code == 401 and wrong not in str(refusal.value)


def test_a_service_in_trouble_is_asked_again(server: Receiver) -> None:
    server.behave(EVERYWHERE, answers.status(503))
    with pytest.raises(DeliveryError) as refusal:
        apprise().send(PAGE)
    assert not refusal.value.permanent and refusal.value.ambiguous and refusal.value.code == 503


def test_a_connection_that_broke_may_have_delivered(server: Receiver) -> None:
    server.behave(EVERYWHERE, answers.accept_then_cut())
    with pytest.raises(DeliveryError) as refusal:
        apprise().send(PAGE)
    assert refusal.value.ambiguous and not refusal.value.permanent


def test_a_redirect_is_not_followed(server: Receiver) -> None:
    server.behave("/publicapi/add", answers.redirect(server.url("/elsewhere"), 307))
    with pytest.raises(DeliveryError):
        apprise().send(PAGE)
    assert not server.at("/elsewhere")


def test_a_url_that_apprise_does_not_understand_says_so() -> None:
    channel = apprise("prowl://tooshort")
    assert "does not understand" in channel.ready()
    with pytest.raises(DeliveryError) as refusal:
        channel.send(PAGE)
    assert refusal.value.permanent


def test_it_is_for_staff_and_its_address_shows_no_key() -> None:
    assert Apprise.staff_only and "staff" in Apprise.caveat
    assert apprise().address() == "prowl://…"
