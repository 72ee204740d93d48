"""What does the monitor's own check say right now? Made once more, and for HTTP looked at in more detail."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from monitors import checks
from monitors.checks.base import Context, Outcome, Status, limit, safe_sentence
from monitors.diagnosis.evidence import Check, Http
from monitors.running import fair
from portal.outbound.guard import Reach
from portal.outbound.message import Request, Response

PHASES = ("dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "total_ms")
WORDS = {Status.UP: "up", Status.DEGRADED: "degraded", Status.FAILING: "failing", Status.UNKNOWN: "unknown"}


class _Recorder:
    """The HTTP engine, remembering the last answer that went through it."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.response: Response | None = None

    async def fetch(self, request: Request, reach: Reach) -> Response:
        """As HttpEngine.fetch."""
        self.response = await self._engine.fetch(request, reach)
        return self.response


class Again:
    """One more check. `run` may be cancelled; then it is told as not finished."""

    def __init__(self, order: dict[str, Any], context: Context) -> None:
        self.order, self.context = order, context
        self.outcome: Outcome | None = None
        self.fault = ""
        self.recorder = _Recorder(context.http)
        context.http = self.recorder  # type: ignore[assignment]  # all that a check asks of it is `fetch`

    async def run(self) -> None:
        """Make it, with the monitor's own limits."""
        order = self.order
        kind = checks.KINDS.get(str(order.get("kind")))
        if kind is None or kind.passive:
            self.fault = "This kind is not checked from here."
            return
        try:
            config: Any = kind.parse(order.get("config") or {})
        except ValidationError:
            self.fault = "Its settings cannot be read here; is this probe as new as the portal?"
            return
        outcome = fair(kind.kind, await kind.run(config, self.context))
        self.outcome = limit(
            outcome,
            degraded_latency_ms=order.get("degraded_latency_ms"),
            degraded_loss_percent=order.get("degraded_loss_percent"),
            upside_down=bool(getattr(config, "upside_down", False)),
        )
        self.plain = outcome  # before it is turned upside down

    def check(self) -> Check:
        """The verdict of the check. A time limit that is ours and not the monitor's decides nothing."""
        outcome = self.outcome
        if outcome is None:
            return {"status": "unknown", "message": self.fault or "It was not finished in time."}
        found: Check = {"status": WORDS[outcome.status], "message": outcome.message, "phases": _phases(outcome)}
        if outcome.error_class:
            found["error_class"] = outcome.error_class
        if outcome.error_class == "timeout" and self.context.timeout < float(self.order.get("timeout") or 10.0):
            found["status"], found["message"] = (
                "unknown",
                f"Still no complete answer after {self.context.timeout:.1f} s.",
            )
        return found

    def http(self) -> Http | None:
        """The same request, for http monitors only."""
        if self.order.get("kind") != "http":
            return None
        if self.outcome is None:
            return {"status": "not_run", "said": self.fault or "It was not finished in time."}
        outcome, response = self.plain, self.recorder.response
        status = outcome.error_class or "ok"
        if status == "timeout" and outcome.connect_ms is not None:
            status = "stalled"  # the connection stood, the answer did not come (or did not end)
        found: Http = {"status": status, "phases": _phases(outcome)}
        if outcome.message:
            found["said"] = outcome.message
        if response is not None:
            found["code"], found["bytes"] = response.status, len(response.body)
            if server := response.header("server"):
                found["server"] = safe_sentence(server)
        return found


def _phases(outcome: Outcome) -> dict[str, float]:
    return {name: ms for name in PHASES if (ms := getattr(outcome, name)) is not None}
