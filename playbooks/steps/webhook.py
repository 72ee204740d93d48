"""How does a client's own automation take part? One signed call to a runbook URL, as Standard Webhooks 1.0 says, never repeated.

`webhook-id` and `Idempotency-Key` name run and step, so that a receiver can tell a copy that somebody replays.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from alerts.channels.addresses import RequiredHookUrl, readable
from alerts.channels.answers import hide, words_of
from alerts.channels.webhook import WebhookConfig, sign
from alerts.facts import portal_url
from alerts.snapshot import moment
from monitors.checks import assertion
from playbooks.models import Run
from playbooks.steps.base import Context, Done, NotDone, Step, StepConfig, Unsure, seconds_left, shortened
from portal.outbound.guard import check_url
from portal.outbound.http import OutboundError, Request, Response

MOST_BODY = 64 * 1024  # bytes of the answer that are read


def _statuses(text: str) -> str:
    assertion.parse_statuses(text)
    return text


class RunbookConfig(WebhookConfig, StepConfig):
    """Where to, how signed, and what answer means that it was done."""

    url: RequiredHookUrl = Field(
        title="URL",
        description="Gets one POST with JSON when the step is carried out.",
        examples=["https://automation.example.com/runbooks/failover"],
        json_schema_extra={"format": "uri", "writeOnly": False},
    )
    accepted_statuses: Annotated[str, AfterValidator(_statuses)] = Field(
        "200-299", title="Accepted statuses", max_length=200, description="Answers that mean: it was done.", examples=["200,204"]
    )  # fmt: skip
    timeout_seconds: int = Field(30, ge=1, le=120, title="Longest (seconds)", description="For the whole answer.")

    sends_to: ClassVar[dict[str, str]] = {"authorization": "url", "headers": "url"}


class Webhook(Step):
    """Call a runbook."""

    kind: ClassVar[str] = "webhook"
    label: ClassVar[str] = "Call a runbook URL"
    Config = RunbookConfig

    def target(self) -> str:
        """`url:` and the address without its query; where the path looks like a secret, the host stands for all of it."""
        return f"url:{self._shown()}"

    def sentence(self) -> str:
        """Where to, and what counts as done."""
        c = self.config
        how = "signed " if c.secret.get_secret_value() else ""
        return f"Send one {how}POST to {self._shown()} with this run's facts, without following redirects; done when it answers {c.accepted_statuses} within {c.timeout_seconds} s."

    def _shown(self) -> str:
        """The address without its query, and without a path that looks like a secret."""
        url = self.config.url.get_secret_value()
        return readable(url) if self.config.also_secret() else check_url(url).url

    def longest(self) -> int:
        """The call's own limit, and a little."""
        return int(self.config.timeout_seconds) + 10

    def do(self, context: Context) -> Done:
        """Call once. What was sent and not answered is unknown, and so is what a 5xx means."""
        seconds = seconds_left(context, self.config.timeout_seconds)
        try:
            response = context.fetch(self.request(context, seconds))
        except OutboundError as error:
            if error.sent:
                raise Unsure(f"The call went out and was not answered. {error}") from None
            raise NotDone(f"The call could not be made. {error}") from None
        except ValueError as error:
            raise NotDone(f"The call could not be made. {error}") from None
        return self._read(response)

    def request(self, context: Context, seconds: float) -> Request:
        """The signed POST."""
        c, at = self.config, context.now()
        body = json.dumps(_facts(context), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        identity, timestamp = f"run-{context.run_id}-{context.order}", int(at.timestamp())
        headers = {name: value.get_secret_value() for name, value in c.headers.items()}
        headers |= {
            "Content-Type": "application/json", "Idempotency-Key": identity, "webhook-id": identity, "webhook-timestamp": str(timestamp),
        }  # fmt: skip
        secrets = [s.get_secret_value() for s in (c.secret, c.previous_secret) if s.get_secret_value()]
        if secrets:
            headers["webhook-signature"] = " ".join(sign(secret, identity, timestamp, body) for secret in secrets)
        if c.authorization.get_secret_value():
            headers["Authorization"] = c.authorization.get_secret_value()
        return Request(c.url.get_secret_value(), "POST", headers, body, timeout=seconds, max_body=MOST_BODY)

    def _read(self, response: Response) -> Done:
        ours = self._secrets()
        output = shortened(hide(response.body.decode("utf-8", "replace"), ours))
        after = {"status": response.status}
        if assertion.accepts(assertion.parse_statuses(self.config.accepted_statuses), response.status):
            return Done(output or f"It answered HTTP {response.status}.", after=after)
        words = words_of(response, ours, 160)
        said = f"It answered HTTP {response.status}" + (f": {words.rstrip('.')}." if words else ".")
        if 300 <= response.status < 400:
            raise NotDone(f"{said} Redirects are not followed; enter the final URL.", output=output, after=after)
        if 400 <= response.status < 500:
            raise NotDone(said, output=output, after=after)
        raise Unsure(f"{said} That does not say whether it was done.", output=output, after=after)

    def _secrets(self) -> list[str]:
        c = self.config
        found = [v.get_secret_value() for v in (c.secret, c.previous_secret, c.authorization, *c.headers.values())]
        found += [text.partition(" ")[2] for text in found if " " in text]  # "Bearer x": x alone too
        if c.also_secret():
            found += [c.url.get_secret_value(), check_url(c.url.get_secret_value()).target]
        return [text for text in found if text]


def _facts(context: Context) -> dict[str, Any]:
    """What a runbook is told."""
    run = Run.objects.select_related("client", "monitor", "incident").get(pk=context.run_id)
    client, monitor, incident = run.client, run.monitor, run.incident
    return {
        "type": "playbook.step",
        "timestamp": moment(context.now()),
        "idempotency_key": f"run-{run.pk}-{context.order}",
        "run": {"id": run.pk, "url": portal_url(f"/runs/{run.pk}/"), "step": context.order, "mode": run.mode},
        "playbook": {"id": run.playbook_id, "name": run.playbook_name, "version": run.playbook_version},
        "plan_hash": context.plan_hash,
        "allowed_by": context.by,
        "client": {"id": client.pk, "name": client.name, "slug": client.slug} if client else None,
        "monitor": {"id": monitor.pk, "name": monitor.name, "kind": monitor.kind, "state": monitor.state} if monitor else None,
        "incident": {"id": incident.pk, "title": incident.title, "url": portal_url(f"/incidents/{incident.pk}/")} if incident else None,
        "verdict": {name: run.verdict[name] for name in ("layer", "summary", "confidence") if name in run.verdict} or None,
    }  # fmt: skip
