"""What if a caller sends the same request twice, not knowing whether the first arrived? The first one's answer again.

`Idempotency-Key: <anything>` on a write: same key and same request, the stored answer (for a day); same key and
another request, 422; the first still running, 409. Only successes are kept: what was refused has changed nothing.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from portal.api.throttling import caller
from portal.clock import database_now
from portal.errors import Refused
from portal.models import IdempotencyKey
from portal.secrets import CannotOpen, Sealed

KEPT = timedelta(days=1)
GIVEN_UP = timedelta(minutes=2)  # a request without an answer after this long has died with its process
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class KeyReused(APIException):
    """The key belongs to another request."""

    status_code = 422
    default_detail = "This Idempotency-Key was used for another request; use a new one."


class Answered(Exception):
    """The answer is already known."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered before")
        self.response = response


class Idempotent:
    """A mixin for API views, before DRF's own classes."""

    _claimed: IdempotencyKey | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        key = request.headers.get("Idempotency-Key", "")
        who = caller(request)
        if key and who and request.method not in SAFE:
            self._claimed = claim(who, key, fingerprint(request), database_now())

    def handle_exception(self, error: Exception) -> Response:
        if isinstance(error, Answered):
            return error.response
        try:
            return super().handle_exception(error)
        except Exception:  # a bug of ours: the caller may try again with the same key
            row, self._claimed = self._claimed, None
            if row is not None:
                row.delete()
            raise

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        row, self._claimed = self._claimed, None
        if row is not None:
            settle(row, response.status_code, getattr(response, "data", None))
        return super().finalize_response(request, response, *args, **kwargs)


def fingerprint(request: Request) -> str:
    """Method, address and body, hashed."""
    base = request._request
    return hashlib.sha256(b"\0".join((base.method.encode(), base.get_full_path().encode(), base.body))).hexdigest()


def claim(who: str, key: str, request_hash: str, at: datetime) -> IdempotencyKey:
    """This request's row. Raises Answered, KeyReused, Refused (still running) or ValidationError (a bad key)."""
    if len(key) > 100 or not key.isprintable():
        raise ValidationError({"Idempotency-Key": ["Use at most 100 printable characters."]})
    dead = Q(created_at__lt=at - KEPT) | Q(status=None, created_at__lt=at - GIVEN_UP)
    IdempotencyKey.objects.filter(dead, token=who, key=key).delete()
    try:
        with transaction.atomic():
            return IdempotencyKey.objects.create(token=who, key=key, request_hash=request_hash)
    except IntegrityError:
        row = IdempotencyKey.objects.filter(token=who, key=key).first()
    if row is not None and row.request_hash != request_hash:
        raise KeyReused
    if row is None or row.status is None:
        raise Refused("The first request with this Idempotency-Key is still running; ask again in a moment.")
    try:
        data = Sealed((row.response or {}).get("sealed", "")).open() if row.response else None
    except CannotOpen:
        raise Refused(
            "The first answer can no longer be read: the encryption keys have changed. Use a new Idempotency-Key."
        ) from None
    raise Answered(Response(data, status=row.status, headers={"Idempotent-Replayed": "true"}))


def settle(row: IdempotencyKey, status: int, data: Any) -> None:
    """Keep a success, sealed because it may show a new token; forget everything else."""
    if not 200 <= status < 300:
        row.delete()
        return
    plain = json.loads(json.dumps(data, cls=JSONEncoder))
    row.status = status
    row.response = {"sealed": Sealed.of(plain).token} if plain not in (None, "", {}, []) else None
    row.save(update_fields=["status", "response"])


def forget_old(at: datetime) -> int:
    """Delete what is older than a day."""
    return IdempotencyKey.objects.filter(created_at__lt=at - KEPT).delete()[0]
