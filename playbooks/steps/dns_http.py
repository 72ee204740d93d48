"""What did a DNS provider's API say? Asked over guarded HTTP; told apart are "no", "nobody knows" and an answer."""

from __future__ import annotations

from collections.abc import Callable

from playbooks.steps.base import NotDone, Unsure
from playbooks.steps.dns_records import CannotRead
from portal.outbound.guard import check_url
from portal.outbound.http import OutboundError, Request, Response

SECONDS, MOST_BODY = 10.0, 512 * 1024
Fetch = Callable[[Request], Response]


def api_address(text: str) -> str:
    """The address of an API without its last slash. ValueError unless it is https (http only to this machine)."""
    parts = check_url(text.strip())
    if parts.scheme != "https" and parts.host not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("The address of an API begins with https://: a key travels there.")
    if "?" in parts.target:
        raise ValueError("The address of an API has no query.")
    return parts.url.rstrip("/")


def question(method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Request:
    """A request with our limits; redirects are not followed."""
    return Request(url, method, headers, body, timeout=SECONDS, max_body=MOST_BODY, stop_at_max=False)


def looked_up(fetch: Fetch, request: Request, who: str, words: Callable[[Response], str]) -> Response:
    """The answer to a question that changes nothing. CannotRead for anything but a 2xx."""
    try:
        response = fetch(request)
    except OutboundError as error:
        raise CannotRead(f"{who} cannot be asked. {error}") from None
    if not 200 <= response.status < 300:
        raise CannotRead(f"{who} answered HTTP {response.status}{_after(words(response))}")
    return response


def changed(fetch: Fetch, request: Request, who: str, words: Callable[[Response], str]) -> Response:
    """The answer to a change that was taken (2xx). NotDone when it surely was not, Unsure when nobody knows."""
    try:
        response = fetch(request)
    except OutboundError as error:
        if error.sent:
            raise Unsure(f"{who} got the change and did not answer it. {error}") from None
        raise NotDone(f"{who} cannot be asked. {error}") from None
    if 200 <= response.status < 300:
        return response
    said = f"{who} answered HTTP {response.status}{_after(words(response))}"
    if response.status >= 500:
        raise Unsure(f"{said} It may have been done all the same.")
    raise NotDone(f"{said} Nothing was changed.")


def _after(words: str) -> str:
    return f": {words.rstrip('.')}." if words else "."
