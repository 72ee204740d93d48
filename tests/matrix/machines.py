"""Which routes ask for something else than a role? A key or a signature in the address or the body, one's own account, nothing.

For them it must not matter who is signed in: each is asked by every role, with the right key and with a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str

from alerts import feed, integrations, unsubscribing
from alerts import links as alert_links
from alerts.models import Channel, Delivery, OnCallSchedule
from monitors.diagnosis import links as report_links
from monitors.models import Diagnosis, Monitor
from playbooks import links as approval_links
from playbooks.models import Run
from portal import branding, people
from portal.clock import database_now
from portal.models import Branding
from statuspages import links as reader_links
from statuspages.models import Page, Subscriber
from tests import cast
from tests.statuspages import reading, showing

if TYPE_CHECKING:
    from tests.matrix.stage import Stage

IN, OUT, NONE, NO_WAY = "let in", "sign in", "unknown", "not that way"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"

# One's own account and the way in: (looked at, sent empty) by whoever is signed in, then by nobody.
ACCOUNT: dict[str, tuple[str, str, str, str]] = {
    "login/": (IN, IN, IN, IN),
    "login/second-step/": (IN, IN, OUT, OUT),
    "login/passkey/": (IN, IN, OUT, OUT),
    "login/inactive/": (IN, NO_WAY, IN, NO_WAY),
    **{f"login/oidc/{t}": (NONE, NO_WAY, NONE, NO_WAY) for t in ("", "callback/")},  # no provider is set
    "login/oidc/again/": (NONE, NO_WAY, OUT, NO_WAY),
    "logout/": (IN, OUT, OUT, OUT),
    "signup/": (NONE, NONE, NONE, NONE),
    "setup/": (NONE, NONE, NONE, NONE),  # there is an owner
    **{f"reauthenticate/{t}": (IN, IN, OUT, OUT) for t in ("", "code/", "passkey/")},
    **{f"security/{t}": (IN, NO_WAY, OUT, OUT) for t in ("", "passkeys/", "sessions/")},
    **{f"security/{t}": (IN, IN, OUT, OUT) for t in ("app/", "codes/new/", "passkeys/add/")},
    "security/sessions/end/": (NO_WAY, IN, OUT, OUT),
    "security/app/remove/": (NONE, NONE, OUT, OUT),  # there is none to remove
    "security/codes/": (NONE, NO_WAY, OUT, OUT),  # there are none yet
    "password/change/": (IN, IN, OUT, OUT),
    "password/set/": (IN, IN, OUT, OUT),
    "password/reset/": (IN, IN, IN, IN),
    **{f"password/reset/{t}done/": (IN, NO_WAY, IN, NO_WAY) for t in ("", "key/")},
    # The same for everybody, with nothing of anybody's on it.
    "healthz": (IN, IN, IN, IN),
    **{f"api/{t}": (IN, NO_WAY, IN, NO_WAY) for t in ("docs",)},
}
# Somebody's own rows, which for everybody else do not exist: made for Acme's admin by the test.
OWN = ("security/passkeys/{pk}/", "security/passkeys/{pk}/remove/", "filters/{pk}/delete/")
# Asked once, not by every role: costly, or about the machine; who asks is not looked at.
ONCE = {
    "api/schema": "the API's own description; a second long",
    "readyz": "how the installation is, without a word about clients",
    "metrics": "a token of the MSP's (tests/portal/test_health.py)",
    "tls/ask/": "whether a proxy may get a certificate for a name",
    "mcp": "tests/matrix/test_mcp.py",
}
# Vendors sign what they post: without it nobody is heard (tests/alerts/test_twoway_*.py have the right signatures).
SIGNED = (
    "hooks/twilio/message/", "hooks/twilio/voice/{token}/", "hooks/twilio/status/{delivery}/{attempt}/", "hooks/vonage/message/", "hooks/vonage/status/",
    "hooks/slack/", "hooks/telegram/",
)  # fmt: skip
# A probe signs every request (tests/monitors/test_probe_api.py).
PROBES = tuple(f"probe/v1/{t}" for t in ("enroll", "hello", "work", "results", "jobs/{pk}"))
BY_KEY = (
    "r/{token}/", "r/{token}/raw.json", "a/{token}/", "u/{token}/", "approve/{token}/", "setup/{token}/", "invite/{token}/", "password/reset/key/{uidb36}-{key}/",
    "status/{slug}/subscribe/", "status/{slug}/subscribe/confirm/{token}/", "status/{slug}/preferences/{token}/", "status/{slug}/leave/{token}/", "status/{slug}/", "status/{slug}/{rest}",
    "hooks/bounces/{key}/", "api/v1/on-call-schedules/{pk}/feed.ics", "branding/logo/{digest}.{ending}",
    "ping/{code}", "ping/{code}/{what}", "ping/{key}/{slug}", "ping/{key}/{slug}/{what}", "ping(?:/.*)?",
    "api/v1/events", "v2/enqueue", "api/v1/inbound/alertmanager", "api/v1/inbound/generic",
)  # fmt: skip


def by_token(route: str) -> bool:
    """The API, and the addresses of other systems' APIs that it answers as well."""
    return route.startswith(("api/v1/", "api/alerts", "status_page/")) or route == "incident"


def elsewhere(route: str) -> bool:
    """Is it none of the portal's pages?"""
    told = {*ACCOUNT, *OWN, *ONCE, *SIGNED, *PROBES, *BY_KEY}
    return route in told or by_token(route) or route.startswith("admin/")


@dataclass(frozen=True, slots=True)
class Door:
    """An address with its key, the same with a wrong key, and the two answers."""

    route: str
    right: str
    wrong: str
    opens: tuple[int, ...] = (200,)
    shut: tuple[int, ...] = (404,)
    method: str = "get"
    body: bytes = b""
    kind: str = "application/x-www-form-urlencoded"
    key: str = ""  # what KEY stands for

    def call(self, *, right: bool) -> tuple[str, str, bytes, str]:
        """(method, address, body, its type) with the right key or a wrong one."""
        key = self.key if right else "w" * len(self.key)
        where = self.right if right else self.wrong
        return self.method, where.replace("KEY", key), self.body.replace(b"KEY", key.encode()), self.kind


def doors(stage: Stage) -> Iterator[Door]:
    """A door for each of BY_KEY but for status pages, whose files have a test of their own."""
    yield from _links(stage)
    yield from _readers()
    yield from _pings()
    yield from _events()
    schedule = OnCallSchedule.objects.get(client=cast.acme())
    right = _path(feed.address(schedule))
    yield Door("api/v1/on-call-schedules/{pk}/feed.ics", right, right.partition("?")[0] + "?token=wrong")
    row = Branding.objects.create(client=cast.acme(), logo=PNG, logo_type="image/png", logo_digest="d" * 64)
    right = branding.address(row.logo_digest, row.logo_type)
    yield Door("branding/logo/{digest}.{ending}", right, right.replace("d" * 64, "e" * 64))


def _links(stage: Stage) -> Iterator[Door]:
    seen = Diagnosis.objects.get(pk=stage.values["diagnoses/{pk}/"]["pk"])
    Diagnosis.objects.update(link_expires_at=database_now() + timedelta(days=1))
    report = _path(report_links.url_of(seen))
    yield Door("r/{token}/", report, "/r/wrong/")
    yield Door("r/{token}/raw.json", f"{report}raw.json", "/r/wrong/raw.json")
    message = cast.delivery()
    Delivery.objects.filter(pk=message.pk).update(alert=cast.alert())
    yield Door("a/{token}/", _path(alert_links.acknowledge_url(message.pk)), "/a/wrong/")
    mail = Channel.objects.create(client=cast.acme(), name="mail", type="email", config={"to": ["ana@acme.example"]})
    yield Door("u/{token}/", unsubscribing.path(mail.pk, "ana@acme.example"), "/u/wrong/")
    yield Door("approve/{token}/", _path(approval_links.url(Run.objects.get(client=cast.acme()))), "/approve/wrong/")
    yield Door("setup/{token}/", "/setup/any/", "/setup/wrong/", opens=(404,))  # there is an owner
    link = people.invite("ida@acme.example", role="viewer", client=cast.acme(), by=cast.TESTS)[1]
    yield Door("invite/{token}/", _path(link or ""), "/invite/wrong/")
    user = cast.alice()
    key = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    yield Door(
        "password/reset/key/{uidb36}-{key}/",
        f"/password/reset/key/{key}/",
        "/password/reset/key/0-wrong/",
        opens=(302,),
        shut=(200,),
    )


def _readers() -> Iterator[Door]:
    on = Page.objects.get(slug="acme")
    showing.build(on)
    reader = reading.reader(on, "ana@readers.example")
    asked: Subscriber = reading.reader(on, "ben@readers.example", state="pending", confirmed_at=None)
    base, wrong = "/status/acme/", "0.wrong"
    yield Door("status/{slug}/subscribe/", f"{base}subscribe/", "/status/nobodys/subscribe/")
    confirm = _path(reader_links.url(asked, reader_links.CONFIRM))
    yield Door("status/{slug}/subscribe/confirm/{token}/", confirm, f"{base}subscribe/confirm/{wrong}/")
    chosen = _path(reader_links.url(reader, reader_links.PREFERENCES))
    yield Door("status/{slug}/preferences/{token}/", chosen, f"{base}preferences/{wrong}/")
    yield Door("status/{slug}/leave/{token}/", _path(reader_links.url(reader, reader_links.LEAVE)), f"{base}leave/{wrong}/")  # fmt: skip
    yield Door("hooks/bounces/{key}/", _path(reader_links.hook_url()), "/hooks/bounces/wrong/", method="post", body=b"Subject: x", kind="message/rfc822", opens=(202,))  # fmt: skip


def _pings() -> Iterator[Door]:
    job = Monitor.objects.create(client=cast.acme(), name="backup", slug="backup", kind="heartbeat", config={"period_seconds": 3600})  # fmt: skip
    code, key = f"/ping/{job.uuid}", f"/ping/{cast.token(cast.alice(), 'ping')}/backup"
    no_code, no_key = "/ping/00000000-0000-0000-0000-000000000007", "/ping/wk_00000000_nobodysnobodysnobodys/backup"
    yield Door("ping/{code}", code, no_code)
    yield Door("ping/{code}/{what}", f"{code}/start", f"{no_code}/start")
    yield Door("ping/{key}/{slug}", key, no_key)
    yield Door("ping/{key}/{slug}/{what}", f"{key}/fail", f"{no_key}/fail")
    yield Door("ping/{key}/{slug}", key, f"/ping/{cast.token(cast.mallory(), 'ping')}/backup")  # another client's key
    yield Door("ping(?:/.*)?", f"{code}/0", "/ping/x/y/z/")


def _events() -> Iterator[Door]:
    event = b'{"routing_key":"KEY","event_action":"trigger","payload":{"summary":"x","source":"y","severity":"error"}}'
    for route, kind, body, opens in (
        ("api/v1/events", "events", event, 202),
        ("v2/enqueue", "events", event, 202),
        ("api/v1/inbound/alertmanager", "alertmanager", b'{"version":"4","alerts":[]}', 200),
        ("api/v1/inbound/generic", "generic", b'{"title":"x"}', 200),
    ):
        mapping = {"mapping": {"title": "$.title"}} if kind == "generic" else {}
        key = integrations.create(by=cast.TESTS, name=route, client=cast.acme(), kind=kind, **mapping)[1]
        place = f"/{route}" if body is event else f"/{route}?key=KEY"
        yield Door(
            route, place, place, (opens,), (400,) if body is event else (401,), "post", body, "application/json", key
        )


def _path(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")
