"""What happens when a client's site breaks? Each line is read from the database, the mailbox or the API when it is there."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from django.conf import settings

from alerts.models import Alert
from console.demo.cast import STAFF, Cast
from console.demo.mailbox import Mailbox
from console.demo.site import Site
from console.demo.telling import LOOK_EVERY, Telling, all_of
from incidents.models import Incident
from monitors.models import Monitor, Result, StateChange
from monitors.models.probe import Status
from portal.clock import database_now


class Story(Telling):
    """The first act."""

    def __init__(
        self, cast: Cast, shop: Site, mailbox: Mailbox, say: Callable[[str], None], *, patience: float
    ) -> None:
        super().__init__(mailbox, say, patience=patience)
        self.cast, self.shop = cast, shop

    def tell(self) -> None:
        """From "all is well" to "resolved". Raises NeverHappened."""
        shop = self.cast.shop.pk
        self.all_well()
        broke = self.broke_at = database_now()
        self.shop.fault = "500 Internal Server Error"
        self.step("broken", f"Acme's shop now answers {self.shop.fault}: {self.shop.url}")

        seen = self.wait(
            "the failing check",
            lambda: Result.objects.filter(monitor_id=shop, status=Status.FAILING, ts__gte=broke).order_by("ts").first(),
        )
        self.step(
            "failure seen",
            f"{seen.message or seen.error_class} ({seen.total_ms or 0:.0f} ms)",
            f"/monitors/{shop}/",
            seen.ts,
        )
        down = self.wait(
            "the confirmation", lambda: StateChange.objects.filter(monitor=shop, to_state="down", at__gte=broke).first()
        )
        self.step("confirmed", f"{down.from_state} → {down.to_state}: {down.reason}", f"/monitors/{shop}/", down.at)
        alert = self.wait(
            "the alert",
            lambda: Alert.objects.filter(monitor_id=shop, condition="health", created_at__gte=broke).first(),
        )
        self.step("alert", f"{alert.severity}: {alert.title}", f"/alerts/{alert.pk}/", alert.created_at)
        incident = self.wait("the incident", lambda: Incident.objects.filter(alert_links__alert=alert).first())
        self.step(
            "incident",
            f"{incident.title} ({incident.responder_status})",
            f"/incidents/{incident.pk}/",
            incident.created_at,
        )
        told = self.wait("the delivery", lambda: self.delivered(alert, "opened"))
        for row in told:
            self.step("told", f"{row.channel}, attempt {row.attempt}", "/deliveries/", row.finished_at)
        for mail in self.wait("the mail", lambda: self.mails_since(broke, len(told))):
            self.step("mail", f"{mail.subject!r} to {', '.join(mail.recipients)}", self.mailbox.url, mail.at)

        self.acknowledged(alert)
        mended = database_now()
        count = len(self.mailbox.mails)
        self.shop.fault = ""
        self.step("mended", "Acme's shop answers again")
        good = self.wait(
            "the good check",
            lambda: Result.objects.filter(monitor_id=shop, status=Status.UP, ts__gte=mended).order_by("ts").first(),
        )
        self.step(
            "recovery seen", f"HTTP {good.http_status} in {good.total_ms or 0:.0f} ms", f"/monitors/{shop}/", good.ts
        )
        alert = self.wait(
            "the alert's end", lambda: Alert.objects.filter(pk=alert.pk, resolved_at__isnull=False).first()
        )
        self.step(
            "alert resolved",
            f"by {alert.resolved_by}" if alert.resolved_by else "it has recovered",
            f"/alerts/{alert.pk}/",
            alert.resolved_at,
        )
        incident = self.wait(
            "the incident's end", lambda: Incident.objects.filter(pk=incident.pk, resolved_at__isnull=False).first()
        )
        self.step(
            "incident resolved",
            f"by {incident.resolved_by}; {incident.timeline.count()} lines in its timeline",
            f"/incidents/{incident.pk}/",
            incident.resolved_at,
        )
        for mail in self.wait("the mail about the recovery", lambda: self.mails_since(mended, 1, skip=count)):
            self.step("mail", f"{mail.subject!r} to {', '.join(mail.recipients)}", self.mailbox.url, mail.at)

    # --- Its parts -----------------------------------------------------------------------------------------------------
    def all_well(self) -> None:
        """Every monitor has been seen up."""
        wanted = [m.pk for m in self.cast.monitors]
        rows = self.wait(
            "the first good checks",
            lambda: all_of(
                list(Monitor.objects.filter(pk__in=wanted, state="up").select_related("client")), len(wanted)
            ),
        )
        for row in sorted(rows, key=lambda m: m.pk):
            self.step(
                "up",
                f"{row.client} · {row.name} ({row.config['url']}), checked every {row.interval_seconds} s",
                f"/monitors/{row.pk}/",
                row.state_since,
            )

    def acknowledged(self, alert: Alert) -> None:
        """The reader's chance; then Dana does it, by the API as any script would."""
        self.step(
            "your turn", f"sign in and press Acknowledge; after {self.patience:.0f} s Dana does", f"/alerts/{alert.pk}/"
        )
        until = time.monotonic() + self.patience
        while time.monotonic() < until and not self.acknowledger(alert):
            time.sleep(LOOK_EVERY)
        if not self.acknowledger(alert):
            status = self.post(f"/api/v1/alerts/{alert.pk}/acknowledge", {"acknowledged_by": STAFF})
            self.step("asked", f"Dana: POST /api/v1/alerts/{alert.pk}/acknowledge, answered {status}")
        row = self.wait("the acknowledgement", lambda: self.acknowledger(alert))
        self.step(
            "acknowledged",
            f"{row.acknowledged_by} has it; nobody else is called",
            f"/incidents/{row.incident_id}/",
            row.acknowledged_at,
        )

    def acknowledger(self, alert: Alert) -> Alert | None:
        """The alert, once somebody has it."""
        return Alert.objects.filter(pk=alert.pk, acknowledged_at__isnull=False).first()

    def post(self, path: str, body: dict[str, Any]) -> int:
        """The status that our own API answers Dana's token with."""
        headers = {"Authorization": f"Bearer {self.cast.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(settings.BASE_URL + path, json.dumps(body).encode(), headers)  # noqa: S310 - our own address
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
