"""Is there a newer image? The registry is asked for the tag's digest and for its tags, anonymously and seldom.

The image's name says which registry; where that wants a token, it says itself where one is had (both through the guarded
way to the network). https://distribution.github.io/distribution/spec/api/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from portal.outbound.guard import Reach
from portal.outbound.message import OutboundError, Request, Response

if TYPE_CHECKING:
    from portal.outbound.http import HttpEngine

HUB, HUB_HOST = "docker.io", "registry-1.docker.io"
MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
    )
)  # fmt: skip
MOST_BODY, MOST_PAGES = 2 << 20, 5
_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?::\d{1,5})?"
)
_TAG = re.compile(r"\w[\w.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VERSION = re.compile(r"(v?)(\d{1,9}(?:\.\d{1,9}){0,3})((?:-[A-Za-z][\w.-]*)?)")
_UNFINISHED = re.compile(r"(?i)-(?:alpha|beta|rc|pre|preview|dev|snapshot|nightly|canary|test)")


class CannotAsk(Exception):
    """The registry gave no answer that says anything."""


@dataclass(frozen=True, slots=True)
class Image:
    """Where an image comes from. No tag: it is pinned by digest, and nothing newer is wanted."""

    registry: str
    repository: str
    tag: str

    @property
    def base(self) -> str:
        """The address of its registry's API."""
        host = HUB_HOST if self.registry == HUB else self.registry
        local = host.rpartition(":")[0] or host
        return f"{'http' if local in ('localhost', '127.0.0.1', '[::1]') else 'https'}://{host}/v2/{self.repository}"


def image_of(text: str) -> Image | None:
    """`nginx:1.27`, `ghcr.io/acme/shop@sha256:…`, `localhost:5000/x`; None for an id or what is no name."""
    name, _, digest = text.partition("@")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, rest
    else:
        registry, path = HUB, name
    repository, colon, tag = path.partition(":")
    if registry in (HUB, "index.docker.io"):
        registry, repository = HUB, repository if "/" in repository else f"library/{repository}"
    if (
        not _HOST.fullmatch(registry)
        or not _NAME.fullmatch(repository)
        or (colon and not _TAG.fullmatch(tag))
        or text.startswith("sha256:")
    ):
        return None
    if not colon and re.fullmatch(r"[0-9a-f]{12,64}", name):  # an image that has no name any more
        return None
    return Image(registry, repository, "" if digest else tag or "latest")


@dataclass(frozen=True, slots=True)
class Version:
    """A tag that counts: `v1.27.3-alpine` is (1, 27, 3) in the shape `v`, three numbers, `-alpine`."""

    prefix: str
    numbers: tuple[int, ...]
    suffix: str

    def is_like(self, other: Version) -> bool:
        """Do both count in the same way?"""
        return (self.prefix, len(self.numbers), self.suffix) == (other.prefix, len(other.numbers), other.suffix)


def version_of(tag: str) -> Version | None:
    """The version in a tag, or None: `latest` and `stable-slim` count nothing, dates and build numbers are no versions."""
    found = _VERSION.fullmatch(tag)
    if found is None or _UNFINISHED.search(found[3]):
        return None
    numbers = tuple(int(n) for n in found[2].split("."))
    return None if len(numbers) == 1 and numbers[0] > 1000 else Version(found[1], numbers, found[3])


def newer(tag: str, tags: Iterable[str]) -> tuple[str, bool] | None:
    """(the newest tag of the same shape, is it another major?), or None when there is none newer."""
    mine = version_of(tag)
    if mine is None:
        return None
    best: tuple[tuple[int, ...], str] | None = None
    for other in tags:
        version = version_of(other)
        if version is None or not version.is_like(mine) or version.numbers <= mine.numbers:
            continue
        if best is None or version.numbers > best[0]:
            best = version.numbers, other
    return (best[1], best[0][0] != mine.numbers[0]) if best is not None else None


def local_digests(inspected: dict[str, Any]) -> set[str]:
    """The digests under which the local image was fetched (`RepoDigests`)."""
    rows = inspected.get("RepoDigests")
    found = (str(row).partition("@")[2] for row in rows) if isinstance(rows, list) else ()
    return {digest for digest in found if _DIGEST.fullmatch(digest)}


class Registries:
    """Asks registries through the guarded way to the network."""

    def __init__(self, http: HttpEngine, reach: Reach, timeout: float) -> None:
        self._http, self._reach, self._timeout = http, reach, timeout
        self._tokens: dict[str, str] = {}

    async def update_of(self, image: Image, have: set[str]) -> dict[str, Any]:
        """{"tag", "digest", "major"} of what is newer, {} when nothing is. Raises CannotAsk."""
        digest = await self.digest(image)
        found = newer(image.tag, await self.tags(image)) if version_of(image.tag) is not None else None
        if found is not None:
            return {"tag": found[0], "digest": "", "major": found[1]}
        if have and digest and digest not in have:
            return {"tag": image.tag, "digest": digest, "major": False}
        return {}

    async def digest(self, image: Image) -> str:
        """What the tag points to now."""
        answer = await self._ask("HEAD", f"{image.base}/manifests/{image.tag}", image)
        digest = answer.header("docker-content-digest") or ""
        if not _DIGEST.fullmatch(digest):
            raise CannotAsk("the registry names no digest")
        return digest

    async def tags(self, image: Image) -> list[str]:
        """Its tags, five pages at most."""
        found: list[str] = []
        where = f"{image.base}/tags/list?n=1000"
        for _ in range(MOST_PAGES):
            answer = await self._ask("GET", where, image)
            try:
                page = json.loads(answer.body).get("tags") or []
            except (ValueError, AttributeError):
                raise CannotAsk("the list of tags cannot be read") from None
            found += [tag for tag in page if isinstance(tag, str) and len(tag) <= 128]
            link = re.match(r'<([^>]+)>\s*;\s*rel="?next"?', answer.header("link") or "")
            if link is None:
                break
            following = urljoin(where, link[1])
            if urlsplit(following)[:2] != urlsplit(where)[:2]:  # a token must not travel elsewhere
                break
            where = following
        return found

    async def _ask(self, method: str, url: str, image: Image) -> Response:
        answer = await self._fetch(method, url, self._tokens.get(image.repository))
        if answer.status == 401 and (token := await self._token(answer, image)):
            self._tokens[image.repository] = token
            answer = await self._fetch(method, url, token)
        if answer.status != 200:
            raise CannotAsk(f"the registry answered {answer.status}")
        return answer

    async def _token(self, refused: Response, image: Image) -> str:
        """A token for reading, from where the registry sends us. Nothing of ours goes there but the image's name."""
        scheme, _, rest = (refused.header("www-authenticate") or "").partition(" ")
        said = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = said.get("realm", "")
        if scheme.lower() != "bearer" or not realm.startswith(("https://", image.base.partition("//")[0] + "//")):
            return ""
        asked = {"scope": f"repository:{image.repository}:pull"} | ({"service": said["service"]} if "service" in said else {})  # fmt: skip
        answer = await self._fetch("GET", f"{realm}{'&' if '?' in realm else '?'}{urlencode(asked)}", None)
        try:
            found = json.loads(answer.body) if answer.status == 200 else {}
            token = str(found.get("token") or found.get("access_token") or "")
        except (ValueError, AttributeError):
            return ""
        return token if token.isascii() and token.isprintable() and len(token) <= 16384 else ""

    async def _fetch(self, method: str, url: str, token: str | None) -> Response:
        request = Request(
            url,
            method=method,
            headers={"Accept": f"{MANIFESTS}, application/json"},
            auth=("bearer", token) if token else None,
            timeout=self._timeout,
            max_body=MOST_BODY,
            max_redirects=3,
        )
        try:
            answer = await self._http.fetch(request, self._reach)
        except (OutboundError, ValueError) as error:
            raise CannotAsk(str(error)) from None
        if answer.truncated:
            raise CannotAsk("the registry says too much")
        return answer
