"""Where do outside systems post?

No session, no token, the integration's key only; counted per key before anything else is asked; answers in
the vendor's own shape. Whether a key exists is told to nobody who does not have it.
"""

from __future__ import annotations

import json
import time
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import IntegrityError
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.exceptions import APIException, ParseError, Throttled
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from alerts import integrations
from alerts.inbound import events, keys, taking
from alerts.inbound.event import Invalid, shown
from alerts.models import Integration
from portal.api import errors
from portal.api.throttling import PerToken, parse_rate
from portal.models.people import digest

MOST_BYTES = 512 * 1024
RATE = "600/min"  # of one key
TOO_LARGE = "The body is larger than 512 KB; send less at a time."


class AnyJson(BaseParser):
    """UTF-8 JSON of at most 512 KB, whatever the Content-Type says: many tools that post webhooks say nothing, or form."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict | None = None) -> Any:
        raw = stream.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise RequestDataTooBig(TOO_LARGE)
        try:
            return json.loads(raw.decode("utf-8-sig"), parse_constant=str)
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8; JSON in UTF-8 was expected.") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply; plain JSON was expected.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}. A JSON object was expected.") from None


class PerKey(BaseThrottle):
    """So many posts a minute with one key, also with one that opens nothing."""

    seconds_left = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        limit, period = parse_rate(api_settings.DEFAULT_THROTTLE_RATES.get("inbound") or RATE)
        now = time.time()
        self.seconds_left = period - now % period
        return PerToken._count(f"inbound:{digest(view.key(request))[:32]}:{int(now // period)}", period) <= limit

    def wait(self) -> float:
        return max(1.0, self.seconds_left)


class WrongKey(APIException):
    """No integration has this key."""

    status_code = 401
    default_detail = "This key opens nothing here. Send the key of an integration, as it was shown when it was made."


class SwitchedOff(APIException):
    """The key is right, the integration does not take events."""

    status_code = 403
    default_detail = "This integration is switched off; switch it on to take its events again."


class ComeAgain(APIException):
    """Cannot be told from a late word now."""

    status_code = 503
    default_detail = "An alert of this body was resolved a moment ago; if it fires again, send it once more."
    wait = taking.SETTLING.total_seconds()


class Receiver(APIView):
    """Takes bodies of one kind."""

    authentication_classes: list = []
    permission_classes: list = []
    parser_classes = [AnyJson]
    throttle_classes = [PerKey]
    kind = ""

    def key(self, request: Request) -> str:
        """The key as it was sent: `?key=`, or `Authorization: Bearer` for senders that keep addresses in their logs."""
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        return (request.query_params.get("key") or (rest if scheme.lower() == "bearer" else "")).strip()[:200]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > MOST_BYTES:  # refused before it is read
            raise RequestDataTooBig(TOO_LARGE)
        if not int(length if length.isdigit() else 0) and "HTTP_TRANSFER_ENCODING" in request.META:
            raise Invalid("The body came in chunks; send it whole, with a Content-Length.")
        super().initial(request, *args, **kwargs)

    def taken(self, request: Request) -> tuple[Integration, list[Any], taking.Taken]:
        """Whose body it is, what it says, and what was done."""
        integration = keys.find(self.key(request))
        if integration is None:
            raise WrongKey
        if integration.kind != self.kind:
            raise Invalid(
                f"This key is of an integration of another kind ({integration.get_kind_display()}); "
                f"post to {integrations.address(integration)}."
            )
        client = integration.client
        if not integration.enabled or (client is not None and not client.active):
            raise SwitchedOff
        try:
            found = taking.read(integration, request.data)
        except Invalid as error:
            taking.remember(integration, problem=f"Refused: {error}")
            raise
        return integration, found, taking.take(integration, found)

    def handle_exception(self, error: Exception) -> Response:
        match error:
            case Invalid():
                return self.refusal(400, error.errors)
            case RequestDataTooBig():
                return self.refusal(413, [TOO_LARGE])
            case IntegrityError():
                answer = self.refusal(503, ["Others change the same alert at this moment; send it once more."])
                answer["Retry-After"] = "1"
                return answer
            case Throttled():
                answer = self.refusal(429, ["Events come too fast with this key; send fewer, or later."])
                answer["Retry-After"] = str(int(error.wait or 1))
                return answer
            case APIException() if error.status_code < 500 or isinstance(error, ComeAgain):
                answer = self.refusal(error.status_code, [str(error.detail)])
                if isinstance(error, ComeAgain):
                    answer["Retry-After"] = str(int(error.wait))
                return answer
        return super().handle_exception(error)

    def refusal(self, status: int, sentences: list[str]) -> Response:
        """The vendor's own shape, where it has one."""
        answer = errors.answer(status, sentences[0], fields={"body": sentences} if status == 400 else None)
        answer.exception = True
        return answer

    def counted(self, found: list[Any], taken: taking.Taken) -> Response:
        """What was done, in numbers."""
        if taken.later:
            raise ComeAgain
        return Response({"status": "success", "received": len(found), "opened": len(taken.opened)})


class EventsReceiver(Receiver):
    """PagerDuty Events API v2."""

    kind = Integration.Kind.EVENTS

    def key(self, request: Request) -> str:
        return events.routing_key(request.data)[:200]

    @extend_schema(
        operation_id="events_create",
        auth=[{}],
        request=OpenApiTypes.OBJECT,
        responses={202: OpenApiTypes.OBJECT},
        tags=["inbound"],
    )
    def post(self, request: Request) -> Response:
        """trigger, acknowledge or resolve by `dedup_key`. `routing_key` is an integration's key; no header is needed."""
        if not isinstance(request.data, dict):
            raise Invalid(
                f"A JSON object with routing_key, event_action and payload was expected; this is {shown(request.data)}."
            )
        if not self.key(request):
            raise Invalid("'routing_key' is missing or blank")
        _, found, _ = self.taken(request)
        return Response({"status": "success", "message": "Event processed", "dedup_key": found[0].key}, status=202)

    def refusal(self, status: int, sentences: list[str]) -> Response:
        if status == 401:  # PagerDuty has no 401 here: a key is a field of the event
            status, sentences = 400, ["'routing_key' is invalid: no integration of this portal has it"]
        if status == 429:
            body: dict[str, Any] = {"status": "throttle exceeded", "message": sentences[0]}
        else:
            body = {"status": "invalid event", "message": "Event object is invalid", "errors": sentences}
            if status in (403, 405, 413):
                body["message"] = sentences[0]
        answer = Response(body, status=status)
        answer.exception = True
        return answer


KEY = OpenApiParameter("key", OpenApiTypes.STR, description="The integration's key.")


class AlertmanagerReceiver(Receiver):
    """Prometheus Alertmanager, and Grafana's webhook."""

    kind = Integration.Kind.ALERTMANAGER

    @extend_schema(
        operation_id="inbound_alertmanager",
        auth=[{}],
        parameters=[KEY],
        request=OpenApiTypes.OBJECT,
        responses=OpenApiTypes.OBJECT,
        tags=["inbound"],
    )
    def post(self, request: Request) -> Response:
        """A webhook of version 4: each alert by its fingerprint, again and again without harm."""
        _, found, taken = self.taken(request)
        return self.counted(found, taken)


class GenericReceiver(Receiver):
    """Any JSON, by the integration's mapping."""

    kind = Integration.Kind.GENERIC

    @extend_schema(
        operation_id="inbound_generic",
        auth=[{}],
        parameters=[KEY],
        request=OpenApiTypes.OBJECT,
        responses=OpenApiTypes.OBJECT,
        tags=["inbound"],
    )
    def post(self, request: Request) -> Response:
        """Any JSON; the integration's mapping says what is where."""
        _, found, taken = self.taken(request)
        return self.counted(found, taken)
