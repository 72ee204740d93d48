"""What can a probe ask of the portal? Five addresses below /probe/v1/; every answer to a known probe is signed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from monitors import batches, blindness, ingest, remote
from monitors.models import Probe
from monitors.probe import identity
from monitors.probe.clock import micros
from monitors.remote import Caller, Denied, Request
from portal.clock import database_now
from portal.middleware import api_error

MOST_SMALL = 64 * 1024  # of every body but results
PACK_FROM = 1024


def _view(method: str, most: int = MOST_SMALL) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """A view for known probes: reads the request once, finds whose it is, signs the answer and the refusal."""

    def wrap(inner: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @csrf_exempt
        def view(request: HttpRequest, **parameters: Any) -> HttpResponse:
            if request.method != method:
                return api_error(405, "method_not_allowed", f"This address takes {method}.")
            try:
                asked = _request(request, most)
                probe = remote.known(asked)
            except Denied as refusal:
                return _denied(refusal)
            try:
                answer = inner(request, probe, asked, **parameters)
            except Denied as refusal:
                answer = _denied(refusal)
            return _signed(request, answer, probe.pk, asked.counter, asked.body)

        return view

    return wrap


def _request(request: HttpRequest, most: int) -> Request:
    """The parts of a signed request. Denied (401) when one is missing, (413) for a large body before it is read."""
    body = _body(request, most)
    headers, numbers = request.headers, []
    for name in (identity.PROBE, identity.TIME, identity.COUNTER):
        text = headers.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise Denied(401, "signature", f"{name} is missing: requests of probes are signed.")
        numbers.append(int(text))
    instance = headers.get(identity.INSTANCE, "")
    if len(instance) > 32 or not instance.isascii():
        raise Denied(401, "signature", f"{identity.INSTANCE}: up to 32 letters and digits.")
    path = request.get_full_path()
    path = path[path.find(identity.PREFIX) :]
    probe, at_ms, counter = numbers
    return Request(
        request.method or "", path, body, probe, at_ms, counter, instance, headers.get(identity.SIGNATURE, "")
    )


def _body(request: HttpRequest, most: int) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if request.headers.get("Transfer-Encoding") or not length.isdigit():
        raise Denied(411, "length", "Say how long the body is (Content-Length).")
    if int(length) > most:
        raise Denied(413, "too_large", f"At most {most} bytes here.")
    try:
        return request.body
    except (UnreadablePostError, RawPostDataException):
        raise Denied(400, "invalid", "The body did not arrive.") from None


def _said(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Denied(400, "invalid", "The body is a JSON object.")
    return said


def _json(body: dict[str, Any], status: int = 200) -> HttpResponse:
    return HttpResponse(json.dumps(body, separators=(",", ":")), status=status, content_type="application/json")


def _denied(refusal: Denied) -> HttpResponse:
    body = {"error": {"code": refusal.code, "message": str(refusal), "fields": {}}, **refusal.more}
    answer = _json(body, refusal.status)
    if refusal.retry_after:
        answer["Retry-After"] = str(refusal.retry_after)
    return answer


def _signed(request: HttpRequest, answer: HttpResponse, probe: int, counter: int, asked: bytes) -> HttpResponse:
    """With our time and our signature over the plain body; packed afterwards, when that pays."""
    at_ms = micros(database_now()) // 1000
    text = identity.answer_text(probe, counter, asked, answer.status_code, at_ms, answer.content)
    answer[identity.TIME] = str(at_ms)
    answer[identity.SIGNATURE] = identity.sign(remote.portal_key(), text)
    answer["Cache-Control"] = "no-store"
    if len(answer.content) >= PACK_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        answer.content = gzip.compress(answer.content, 5)
        answer["Content-Encoding"] = "gzip"
    return answer


# --- The addresses ------------------------------------------------------------------------------------------------------
@csrf_exempt
def enroll(request: HttpRequest) -> HttpResponse:
    """A token against a public key; the answer carries ours."""
    if request.method != "POST":
        return api_error(405, "method_not_allowed", "This address takes POST.")
    try:
        body = _body(request, MOST_SMALL)
        said = _said(body)
        secret, key = said.get("token"), said.get("public_key")
        if not isinstance(secret, str) or not identity.is_public_key(key):
            raise Denied(400, "invalid", "token: from the portal; public_key: an Ed25519 key, base64.")
        text = identity.request_text(0, "POST", f"{identity.PREFIX}enroll", 0, 0, "", body)
        if not identity.verify(key, request.headers.get(identity.SIGNATURE, ""), text):
            raise Denied(401, "signature", "The request is not signed by the key it brings.")
        host = remote._words(said, "host", 120)
        probe = remote.enroll(secret, key, host, at=database_now(), ip=request.META.get("REMOTE_ADDR", "") or "")
    except Denied as refusal:
        return _denied(refusal)
    answer = _json({"id": probe.pk, "slug": probe.slug, "portal_key": remote.portal_public_key()})
    return _signed(request, answer, 0, 0, body)


@_view("POST")
def hello(request: HttpRequest, probe: Probe, asked: Request) -> HttpResponse:
    """A process begins to speak, or takes its leave."""
    caller = remote.hello(probe, asked, _said(asked.body), database_now())
    _see(caller)
    p = caller.probe
    return _json({"result_seq": p.result_seq, "id": p.pk, "slug": p.slug, "name": p.name})


@_view("GET")
def work(request: HttpRequest, probe: Probe, asked: Request) -> HttpResponse:
    """What there is to do; 304 when that is known."""
    caller = remote.recognise(probe, asked, database_now())
    _see(caller)
    have = request.headers.get("If-None-Match", "")
    todo = remote.work(caller.probe, caller.at, have)
    answer = HttpResponse(status=304) if have == todo.etag else _json(todo.body())
    answer["ETag"] = todo.etag
    return answer


@_view("POST", batches.MOST_WIRE)
def results(request: HttpRequest, probe: Probe, asked: Request) -> HttpResponse:
    """A batch of results."""
    caller = remote.recognise(probe, asked, database_now())
    plain = batches.unpack(asked.body, request.headers.get("Content-Encoding", ""))
    batch = batches.read(plain, caller.at)
    blindness.hear(caller, batch.blind)  # before its results are looked at: what it saw blind pages nobody
    taken = ingest.take(caller, batch)
    if caller.probe.blind_since is not None and not batch.blind:
        caller.probe.refresh_from_db()
        blindness.judge_remote(caller.probe, caller.at)
    return _json({"result_seq": taken.result_seq, "late": taken.late, "dropped": taken.dropped})


@_view("POST")
def job(request: HttpRequest, probe: Probe, asked: Request, pk: int) -> HttpResponse:
    """A job's outcome, once."""
    caller = remote.recognise(probe, asked, database_now())
    done = remote.finish_job(caller, pk, _said(asked.body))
    return _json({"state": done.state})


def _see(caller: Caller) -> None:
    """One that was silent and speaks again need not wait for the next sweep."""
    if caller.probe.blind_since is not None:
        blindness.judge_remote(caller.probe, caller.at)
