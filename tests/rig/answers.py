"""How may an HTTP server answer, well or badly? Every way that clients' sites and message providers answer in life."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from tests.rig.serving import reset


class Manner(Enum):
    """What happens on the wire."""

    WHOLE = auto()
    CUT = auto()  # closed without a byte of an answer
    RESET = auto()
    DRIP = auto()  # the body one byte at a time
    HANG = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """One way to answer. `accepted` says whether the work was taken over, whatever the caller was told."""

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds before the answer, or between two bytes of a drip
    manner: Manner = Manner.WHOLE
    accepted: bool = True


def ok(body: bytes | str = b"ok", **headers: str) -> Answer:
    """200. A header's underscores become dashes: `ok(b"{}", content_type="application/json")`."""
    return Answer(body=_bytes(body), headers=_headers(headers))


def ok_json(value: Any, status: int = 200) -> Answer:
    """200 with JSON."""
    return Answer(status=status, body=json.dumps(value).encode(), headers={"Content-Type": "application/json"})


def slow(seconds: float, status: int = 200) -> Answer:
    """Taken at once, answered after `seconds`."""
    return Answer(status=status, delay=seconds, accepted=status < 400)


def accept_then_500() -> Answer:
    """The message is taken (a person sees it), and yet the answer is 500."""
    return Answer(status=500, body=b"internal error", accepted=True)


def accept_then_cut() -> Answer:
    """The message is taken, then the connection closes without an answer: the caller cannot know."""
    return Answer(manner=Manner.CUT, accepted=True)


def too_many(retry_after: int | str = 2) -> Answer:
    """429 with Retry-After: seconds, or an HTTP date."""
    return Answer(429, b"slow down", {"Retry-After": str(retry_after)}, accepted=False)


def status(code: int, body: bytes | str | None = None, **headers: str) -> Answer:
    """Any status; accepted when it is below 400."""
    text = HTTPStatus(code).phrase if body is None and code in HTTPStatus.__members__.values() else body or b""
    return Answer(code, _bytes(text), _headers(headers), accepted=code < 400)


def redirect(location: str, code: int = 302) -> Answer:
    """A redirect to `location`."""
    return Answer(code, b"", {"Location": location}, accepted=False)


def drip(body: bytes | str = b"." * 100, every: float = 1.0) -> Answer:
    """200 whose body comes one byte every `every` seconds: each read succeeds, the whole never ends."""
    return Answer(body=_bytes(body), delay=every, manner=Manner.DRIP)


def connection_reset() -> Answer:
    """RST once the request is read."""
    return Answer(manner=Manner.RESET, accepted=False)


def hang() -> Answer:
    """Reads the request and never says anything."""
    return Answer(manner=Manner.HANG, accepted=False)


# --- Slack's faces ---------------------------------------------------------------------------------------------------
def slack_hook() -> Answer:
    """An incoming webhook that took the message."""
    return ok(b"ok", content_type="text/html")


def slack_hook_refuses(error: str = "no_service") -> Answer:
    """An incoming webhook that refuses: invalid_payload 400, action_prohibited and invalid_token 403, no_service,
    channel_not_found and no_team 404, channel_is_archived 410."""
    codes = {"invalid_payload": 400, "invalid_blocks": 400, "action_prohibited": 403, "invalid_token": 403}
    return status(410 if error == "channel_is_archived" else codes.get(error, 404), error)


def slack_api(channel: str = "C1", ts: str = "1700000000.000100") -> Answer:
    """chat.postMessage that took the message."""
    return ok_json({"ok": True, "channel": channel, "ts": ts})


def slack_api_refuses(error: str = "channel_not_found") -> Answer:
    """The Web API says 200 and means no."""
    refusal = ok_json({"ok": False, "error": error})
    return Answer(refusal.status, refusal.body, refusal.headers, accepted=False)


async def give(answer: Answer, writer: asyncio.StreamWriter, *, head_only: bool = False) -> None:
    """Write the answer the way it says; the caller closes the connection afterwards."""
    if answer.manner is Manner.HANG:
        await asyncio.Event().wait()
    if answer.manner is not Manner.DRIP and answer.delay:
        await asyncio.sleep(answer.delay)
    if answer.manner is Manner.CUT:
        return
    if answer.manner is Manner.RESET:
        reset(writer)
        return
    writer.write(_head(answer))
    if answer.manner is Manner.DRIP:
        for byte in answer.body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(answer.delay)
    elif not head_only:
        writer.write(answer.body)
    await writer.drain()


def _head(answer: Answer) -> bytes:
    phrase = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus.__members__.values() else "Answer"
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    headers = {
        "Content-Type": "text/plain",
        **answer.headers,
        "Content-Length": len(answer.body),
        "Connection": "close",
    }
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _headers(named: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in named.items()}
