"""How is a file put into an S3-compatible bucket? One signed request a file, a few at once, within a total time.

Which bucket, and with which key, the environment alone says (`PUBLISH_BUCKET`, `PUBLISH_S3_…`); so its address is exempt from
the outbound guard. Amazon's are asked at a host of the bucket's own, all others by path. A `Bucket` belongs to one thread.
"""

from __future__ import annotations

import asyncio
import html
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import quote

from django.conf import settings
from django.core.checks import Error, Warning, register

from portal.outbound.aws import sign
from portal.outbound.guard import Reach, check_url
from portal.outbound.http import HttpEngine, OutboundError, Request, Response
from statuspages.listing import plain

log = logging.getLogger("watchkeeper.pages")
T = TypeVar("T")

ANYWHERE: Final = Reach(allow=(ip_network("0.0.0.0/0"), ip_network("::/0")))  # the environment names the address
AT_ONCE: Final = 8
SECONDS: Final = 60.0  # for one copy
ONE_REQUEST: Final = 30.0
CONNECTING: Final = 5.0
MOST_LISTED: Final = 100  # answers of a thousand names each
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
REGION: Final = re.compile(r"[a-z0-9-]{1,40}")
SAYS: Final = {
    "InvalidAccessKeyId": "The bucket does not know the key: correct PUBLISH_S3_KEY_ID.",
    "SignatureDoesNotMatch": "The bucket refused the key: PUBLISH_S3_SECRET is not the secret of PUBLISH_S3_KEY_ID.",
    "AccessDenied": "The bucket refused: let the key list the bucket, and get, put and delete objects in it.",
    "NoSuchBucket": "There is no such bucket: make it, or correct PUBLISH_BUCKET.",
    "RequestTimeTooSkewed": "The bucket refused the request's time: set this machine's clock.",
    "PermanentRedirect": "The bucket lies in another region: correct PUBLISH_S3_REGION.",
    "AuthorizationHeaderMalformed": "The bucket lies in another region: correct PUBLISH_S3_REGION.",
}


class BucketFailed(Exception):
    """`str()` is a sentence for the page's people: no address, no key, nothing that the server said."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where copies go. `root` is the address of the bucket itself, ending in a slash; `prefix` is "" or ends in one."""

    root: str
    prefix: str
    region: str
    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Object:
    """One file for a bucket; its name is below the bucket's prefix."""

    name: str
    content: bytes
    type: str
    cache: str


# --- What the environment says ----------------------------------------------------------------------------------------------
def understood(bucket: str, s3: Mapping[str, str]) -> tuple[Target | None, list[str]]:
    """The target, or what is wrong with it, each with its cure; neither when nothing is set. Pure."""
    if not bucket:
        names = [f"PUBLISH_S3_{name.upper()}" for name, value in s3.items() if value]
        return None, [
            f"{', '.join(names)} set but PUBLISH_BUCKET is empty; set it to s3://name/prefix."
        ] if names else []
    wrong = []
    scheme, mark, rest = bucket.partition("://")
    name, _, prefix = rest.strip("/").partition("/")
    if (scheme, mark) != ("s3", "://") or not NAME.fullmatch(name) or (prefix and not plain(prefix)):
        wrong.append(f"PUBLISH_BUCKET={bucket!r} is not a bucket; write for example s3://acme-status/pages.")
    for key in ("key_id", "secret"):
        if not s3[key]:
            wrong.append(
                f"PUBLISH_BUCKET is set but PUBLISH_S3_{key.upper()} is empty; enter the key that may write there."
            )
    if s3["region"] and not REGION.fullmatch(s3["region"]):
        wrong.append(f"PUBLISH_S3_REGION={s3['region']!r} is not a region; write for example eu-central-1.")
    if not s3["endpoint"] and not s3["region"]:
        wrong.append(
            "PUBLISH_BUCKET is set but neither PUBLISH_S3_REGION (Amazon's) nor PUBLISH_S3_ENDPOINT (any other's) is; set one."
        )
    root = f"https://{name}.s3.{s3['region']}.amazonaws.com/"
    if s3["endpoint"] or "." in name:  # a dot in the name would not be covered by Amazon's certificate
        try:
            origin = check_url(s3["endpoint"] or f"https://s3.{s3['region']}.amazonaws.com")
            if origin.target != "/":
                raise ValueError("It ends after the host and the port; the bucket's name belongs into PUBLISH_BUCKET.")
            root = f"{origin.url}{name}/"
        except ValueError as error:
            if s3["endpoint"]:
                wrong.append(f"PUBLISH_S3_ENDPOINT={s3['endpoint']!r} is not the address of a server. {error}")
    if wrong:
        return None, wrong
    return Target(root, f"{prefix}/" if prefix else "", s3["region"] or "us-east-1", s3["key_id"], s3["secret"]), []


def target() -> Target | None:
    """The operator's bucket; None: copies go into none. BucketFailed when its settings are not whole."""
    found, wrong = understood(settings.PUBLISH_BUCKET, settings.PUBLISH_S3)
    if wrong:
        raise BucketFailed("The settings of the bucket are not whole; `manage.py check` names what is missing.")
    return found


@register()
def copies_can_be_written(app_configs: Any = None, **_: Any) -> list[Error | Warning]:
    """PUBLISH_… are whole."""
    wrong = understood(settings.PUBLISH_BUCKET, settings.PUBLISH_S3)[1]
    found: list[Error | Warning] = [Error(text, id=f"statuspages.E{n}") for n, text in enumerate(wrong, 101)]
    if settings.PUBLISH_COMMAND and not settings.PUBLISH_FOLDER:
        text = "PUBLISH_COMMAND is set but PUBLISH_FOLDER is empty, so there is nothing to carry away; set the folder."
        found.append(Warning(text, id="statuspages.W101"))
    return found


# --- Asking it ----------------------------------------------------------------------------------------------------------------
class Bucket:
    """The bucket, asked by one thread for one round of copies; a context manager. Every verb raises BucketFailed.

    Once it could not be reached at all, it is not asked again in the same round: others' copies need not wait for it.
    """

    def __init__(self, where: Target) -> None:
        self.where = where
        self.until = 0.0
        self._away: BucketFailed | None = None
        self._runner = asyncio.Runner()
        self._engine: HttpEngine | None = None

    def __enter__(self) -> Bucket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._engine is not None:
            self._engine.close()
        self._runner.close()

    def begin(self, seconds: float = SECONDS) -> None:
        """From now on so many seconds are left for all that is asked."""
        self.until = time.monotonic() + seconds

    def get(self, name: str) -> bytes | None:
        """What is there, as the key sees it; None: nothing."""
        answer = self._runner.run(self._ask("GET", name))
        return None if answer.status == 404 else answer.body

    def put(self, objects: Iterable[Object], done: Callable[[str], object]) -> None:
        """Put them, in any order; `done(name)` for each that is there. What is under way ends before an error is raised."""

        async def one(thing: Object) -> None:
            headers = {"Content-Type": thing.type, "Cache-Control": thing.cache}
            await self._ask("PUT", thing.name, headers, thing.content)
            done(thing.name)

        self._runner.run(self._each(one, objects))

    def delete(self, names: Iterable[str], done: Callable[[str], object]) -> None:
        """Take them away; one that is not there is gone as well."""

        async def one(name: str) -> None:
            await self._ask("DELETE", name)
            done(name)

        self._runner.run(self._each(one, names))

    def names(self, ending: str) -> Iterator[str]:
        """The names below the prefix that end so."""
        query, prefix = "", self.where.prefix
        for _ in range(MOST_LISTED):
            asked = f"list-type=2&prefix={quote(prefix, safe='')}{query}"
            body = self._runner.run(self._ask("GET", None, query=asked)).body.decode("utf-8", "replace")
            for key in re.findall(r"<Key>([^<]*)</Key>", body):
                if key.startswith(prefix) and key.endswith(ending):
                    yield html.unescape(key[len(prefix) :])
            more = re.search(r"<NextContinuationToken>([^<]+)</NextContinuationToken>", body)
            if more is None:
                return
            query = f"&continuation-token={quote(html.unescape(more[1]), safe='')}"

    async def _each(self, do: Callable[[T], Awaitable[None]], things: Iterable[T]) -> None:
        """Do it with all; after a failure nothing more is begun, and the first failure is raised."""
        room, failed = asyncio.Semaphore(AT_ONCE), []

        async def one(thing: T) -> None:
            async with room:
                if failed:
                    return
                try:
                    await do(thing)
                except BucketFailed as error:
                    failed.append(error)

        await asyncio.gather(*(one(thing) for thing in things))
        if failed:
            raise failed[0]

    async def _ask(
        self, method: str, name: str | None, headers: Mapping[str, str] | None = None, body: bytes | None = None, query: str = ""
    ) -> Response:  # fmt: skip
        """One answer of the 2xx kind, or a 404 to GET and DELETE of an object."""
        if self._away is not None:
            raise self._away
        left = self.until - time.monotonic()
        if left <= 0:
            raise BucketFailed("The bucket took too long; what is missing follows within minutes.")
        where = self.where
        url = f"{where.root}{where.prefix}{name}" if name is not None else f"{where.root}?{query}"
        signed = sign(
            method, url, dict(headers or {}), body, key=where.key, secret=where.secret, region=where.region, service="s3", now=datetime.now(UTC)
        )  # fmt: skip
        if self._engine is None:
            self._engine = HttpEngine(max_inflight=AT_ONCE)
        request = Request(
            url, method, signed, body, timeout=min(left, ONE_REQUEST), connect_timeout=CONNECTING, max_body=4 << 20
        )
        try:
            answer = await self._engine.fetch(request, ANYWHERE)
        except OutboundError as error:
            log.error("the bucket's server did not answer %s %s: %s", method, name, error)
            failure = BucketFailed(f"The bucket's server was not reached. {error}")
            if not error.sent:
                self._away = failure
            raise failure from None
        missing = answer.status == 404 and method != "PUT" and name is not None and b"NoSuchBucket" not in answer.body
        if answer.status < 300 or missing:
            return answer
        raise refusal(method, name, answer)


def refusal(method: str, name: str | None, answer: Response) -> BucketFailed:
    """What the server's error means to the operator; the log has its own word for it."""
    found = re.search(rb"<Code>(\w{1,60})</Code>", answer.body)
    code = found[1].decode() if found else ""
    log.error("the bucket answered %s %s with %d %s", method, name or "(its list)", answer.status, code)
    said = SAYS.get(code) or (SAYS["PermanentRedirect"] if answer.status == 301 else "")
    return BucketFailed(said or f"The bucket's server answered {answer.status}; the portal's log says more.")
