"""What is done when a client's firewall dies? The second act: seen from two regions, explained, proposed, approved, moved, verified.

Everything in it is real, only small and on loopback: Knot keeps the zone, two probes and one inside the client's network
are programs of their own, the firewalls pass bytes on or do not. The verdict is what the diagnosis makes of it.
"""

from __future__ import annotations

import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from django.conf import settings

from alerts.models import Alert
from console.demo import chromium, stage
from console.demo.cast import OWNER, STAFF, Cast
from console.demo.mailbox import Mail, Mailbox
from console.demo.serving import Street
from console.demo.stage import Scene
from console.demo.telling import LOOK_EVERY, NeverHappened, Telling, all_of
from console.demo.visitor import Session, Visitor
from incidents.models import Incident
from monitors.models import Monitor, Probe, Result, StateChange
from monitors.models.probe import Status
from playbooks.models import Run, RunState, RunStep
from portal.clock import database_now
from portal.models import User

REASONS = 3  # of a verdict's, told
ASKS = "Approve?"  # a letter's subject begins with it
LINK = re.compile(r"https?://\S+/approve/[^\s\"'<>]+")


class Failover(Telling):
    """The second act. `pictures`: a directory for what the browser shows (None: nowhere)."""

    def __init__(
        self, cast: Cast, street: Street, directory: Path, mailbox: Mailbox, say: Callable[[str], None], *, patience: float, pictures: Path | None
    ) -> None:  # fmt: skip
        super().__init__(mailbox, say, patience=patience)
        self.cast, self.street, self.pictures = cast, street, pictures
        self.directory = directory / "second-act"
        self.stack, self.closed = ExitStack(), False

    def close(self) -> None:
        """End everything that the act has started; again is harmless."""
        self.closed = True
        self.stack.close()

    def tell(self) -> None:
        """From "all is well" to the offer to fail back. Raises NeverHappened."""
        scene = self.build()
        alert = self.fall(scene)
        run = self.proposed(alert)
        self.approved(run)
        self.moved(scene, run)
        self.recovered(alert, run)
        self.failback(scene, run)

    # --- The stage ------------------------------------------------------------------------------------------------------
    def build(self) -> Scene:
        """Everything, and all is well."""
        shutil.rmtree(self.directory, ignore_errors=True)
        try:
            scene = stage.build(self.street, self.directory, self.stack)
        except (RuntimeError, OSError) as error:
            raise NeverHappened(f"the stage could not be set: {error}") from None
        monitor, row, names, lines = scene.monitor, scene.playbook, scene.zone, scene.premises
        url = monitor.config["url"]
        self.step("on the stage", f"{url} leads to {lines.main}, the firewall of Globex's main line; {lines.second} is the second line's")  # fmt: skip
        self.step("name server", f"Knot at {names.place} keeps {names.zone} and takes updates signed with the key {names.key} (RFC 2136, TSIG)")  # fmt: skip
        self.step("playbook", f"“{row.name}”: acts on the verdict {stage.LAYER} with confidence {row.min_confidence:.2f} or more, seen by {row.quorum} regions, when one person approves", f"/playbooks/{row.pk}/")  # fmt: skip
        up = self.wait("the first good checks of both regions", lambda: self.seen_well(monitor, len(stage.PLACES)))
        inside = Probe.objects.filter(name=stage.INNER[0]).exclude(instance="")
        self.wait("the probe inside", inside.first)
        self.step("up", f"{monitor.client} · {monitor.name}, seen from {' and '.join(up)}; {stage.INNER[0]} looks from inside", f"/monitors/{monitor.pk}/")  # fmt: skip
        return scene

    def seen_well(self, monitor: Monitor, enough: int) -> list[str]:
        """The probes that see it well, when there are enough."""
        views = monitor.views.filter(active=True, status=Status.UP).select_related("probe").order_by("probe")
        return all_of([view.probe.name for view in views], enough)

    # --- The fall -------------------------------------------------------------------------------------------------------
    def fall(self, scene: Scene) -> Alert:
        """The firewall hangs; what is seen, what is said, and why."""
        broke = self.broke_at = database_now()
        scene.premises.primary.hang()
        self.step("firewall dead", f"{scene.premises.main} hangs: it answers pings and lets no connection through")
        monitor = scene.monitor.pk
        bad = Result.objects.filter(monitor_id=monitor, status=Status.FAILING, ts__gte=broke).order_by("ts")
        views = scene.monitor.views.filter(active=True).select_related("probe").order_by("probe")
        for place in [view.probe for view in views]:
            seen = self.wait(f"the failing check from {place}", bad.filter(probe_id=place.pk).first)
            self.step("failure seen", f"from {place}: {seen.message or seen.error_class}", f"/monitors/{monitor}/", seen.ts)  # fmt: skip
        down = self.wait("the confirmation", lambda: StateChange.objects.filter(monitor=monitor, to_state="down", at__gte=broke).first())  # fmt: skip
        self.step("confirmed", f"{down.from_state} → {down.to_state}: {down.reason}", f"/monitors/{monitor}/", down.at)
        alerts = Alert.objects.filter(monitor_id=monitor, condition="health", created_at__gte=broke)
        alert = self.wait("the alert", alerts.first)
        self.step("alert", f"{alert.severity}: {alert.title}", f"/alerts/{alert.pk}/", alert.created_at)
        said = self.wait("the verdict", lambda: alerts.exclude(verdict=None).filter(verdict__has_key="layer").first())
        verdict = said.verdict or {}
        self.step("verdict", f"{verdict['layer']}, confidence {verdict['confidence']:.2f}: {verdict['summary']}", f"/alerts/{alert.pk}/")  # fmt: skip
        for reason in verdict.get("for", [])[:REASONS]:
            self.step("because", f"{reason['text']} ({', '.join(reason['probes']) or 'all together'})")
        incident = self.wait("the incident", lambda: Incident.objects.filter(alert_links__alert=alert).first())
        self.step("incident", incident.title, f"/incidents/{incident.pk}/", incident.created_at)
        return said

    def proposed(self, alert: Alert) -> Run:
        """What the playbook would do, and the letter that asks."""
        asked = Run.objects.filter(alert=alert, state=RunState.AWAITING_APPROVAL)
        try:
            run = self.wait("the proposal", asked.first)
        except NeverHappened:
            held = Run.objects.filter(alert=alert).first()
            raise NeverHappened(f"nothing was proposed: {held.reason if held else 'no run was made'}") from None
        passed = sum(gate["passed"] for gate in run.gates)
        self.step("proposed", f"{run.plan[0]['sentence']} ({passed} of {len(run.gates)} gates passed)", f"/runs/{run.pk}/", run.gates_at)  # fmt: skip
        # One of them may wait a minute: nobody is mailed again and again within so short a time.
        for mail in self.wait("the mail about the alert", lambda: self.told(alert)):
            button = ", with the button" if LINK.search(mail.part("plain")) else ""
            self.step("mail", f"{mail.subject!r} to {', '.join(mail.recipients)}{button}", self.mailbox.url, mail.at)
        return run

    def told(self, alert: Alert) -> list[Mail]:
        """The mails about the alert that came so far, those that ask for approval left out."""
        return [m for m in self.mails_since(alert.created_at, 1) if not m.subject.startswith(ASKS)]

    # --- A person's word --------------------------------------------------------------------------------------------------
    def letter(self, run: Run, to: str) -> tuple[Mail, str]:
        """The mail that asks this person, and its link."""

        def found() -> tuple[Mail, str] | None:
            for mail in self.mailbox.mails:
                link = LINK.search(mail.part("plain")) if mail.recipients == (to,) else None
                if link and f"/approve/{run.pk}." in link[0] and mail.subject.startswith(ASKS):
                    return mail, link[0]
            return None

        return self.wait(f"the mail to {to}", found)

    def approved(self, run: Run) -> None:
        """The reader's chance; then the demo does what Dana would."""
        mail, link = self.letter(run, STAFF)
        self.step("mail", f"{mail.subject!r} to {STAFF}, with the button", self.mailbox.url, mail.at)
        self.step("your turn", f"open the link, sign in as {STAFF} and press Approve; after {self.patience:.0f} s Dana does", link)  # fmt: skip
        until = time.monotonic() + self.patience
        while time.monotonic() < until and self.waits(run):
            time.sleep(LOOK_EVERY)
        if self.waits(run):
            visitor = self.visitor()
            try:
                self.press(visitor, run, link)
            except (chromium.Broken, LookupError, OSError) as error:
                if self.waits(run):
                    raise NeverHappened(f"Dana could not press Approve in {visitor.name}: {error}") from None
            finally:
                visitor.close()
        word = self.wait("the approval", lambda: run.approvals.select_related("user").filter(word="approve").first())
        self.step("approved", f"{word.user}, proved by {word.how}; the plan's hash is {word.plan_hash[:12]}…", f"/runs/{run.pk}/", word.at)  # fmt: skip

    def waits(self, run: Run) -> bool:
        """Is it still to be decided?"""
        return Run.objects.filter(pk=run.pk, state=RunState.AWAITING_APPROVAL).exists()

    def visitor(self) -> Visitor:
        """A browser where there is one."""
        if chromium.program() is None:
            return Session()
        try:
            found = chromium.Chromium(self.pictures)
        except (chromium.Broken, OSError) as error:
            self.step("no browser", f"Chromium does not start here ({error}); an HTTP session does it")
            return Session()
        self.stack.callback(found.close)
        return found

    def press(self, visitor: Visitor, run: Run, link: str) -> None:
        """Open the letter's link, sign in, approve; then watch the run as its page tells it."""
        self.step("asked", f"Dana opens the link in {visitor.name}, signs in and presses Approve")
        self.sign_in(visitor, STAFF, link)
        visitor.picture("approve")
        visitor.submit({}, "word=approve")
        visitor.open(f"{settings.BASE_URL}/runs/{run.pk}/")
        visitor.picture("run-under-way")

    def sign_in(self, visitor: Visitor, email: str, link: str) -> None:
        """From a link that asks for it."""
        visitor.open(link)
        visitor.follow("Sign in to decide")
        visitor.submit({"login": email, "password": self.cast.password})

    # --- What follows -----------------------------------------------------------------------------------------------------
    def moved(self, scene: Scene, run: Run) -> None:
        """The record, as the name server says it; and the page behind it."""
        row = self.wait("the record's move", lambda: RunStep.objects.filter(run=run, order=1, state="done").first())
        self.step("record moved", f"{scene.zone.name}: {row.output}", f"/runs/{run.pk}/", row.finished_at)
        heard = scene.zone.leads_to()
        if heard != [scene.premises.second]:
            raise NeverHappened(f"Knot says that {scene.zone.name} leads to {heard}")
        self.step("asked", f"Knot: {scene.zone.name} A {heard[0]}")
        self.step(
            "reachable", f"http://{heard[0]}:{scene.premises.port}/ answers {fetched(heard[0], scene.premises.port)}"
        )

    def recovered(self, alert: Alert, run: Run) -> None:
        """Verified, resolved."""
        done = self.wait("the verification", lambda: Run.objects.filter(pk=run.pk, finished_at__isnull=False).first(), within=120)  # fmt: skip
        if done.state != RunState.SUCCEEDED:
            raise NeverHappened(f"the run ended as {done.state}: {done.reason}")
        self.step("verified", done.reason, f"/runs/{run.pk}/", done.finished_at)
        over = self.wait(
            "the alert's end", lambda: Alert.objects.filter(pk=alert.pk, resolved_at__isnull=False).first()
        )
        self.step("alert resolved", "it has recovered", f"/alerts/{alert.pk}/", over.resolved_at)
        incident = self.wait("the incident's end", lambda: Incident.objects.filter(pk=done.incident_id, resolved_at__isnull=False).first())  # fmt: skip
        self.step("incident resolved", f"by {incident.resolved_by}; {incident.timeline.count()} lines in its timeline", f"/incidents/{incident.pk}/", incident.resolved_at)  # fmt: skip

    def failback(self, scene: Scene, run: Run) -> None:
        """The main line works again, and going back is proposed: to somebody else than who proposes it."""
        scene.premises.primary.recover()
        self.step(
            "mended", f"{scene.premises.main} works again; {scene.zone.name} still leads to {scene.premises.second}"
        )
        dana = User.objects.get(email=STAFF)
        visitor = self.visitor()
        try:
            self.offer(visitor, run)
        except (chromium.Broken, LookupError, OSError) as error:
            if not Run.objects.filter(undoes=run).exists():
                raise NeverHappened(f"{dana} could not propose to put it back in {visitor.name}: {error}") from None
        finally:
            visitor.close()
        back = self.wait(
            "the failback", lambda: Run.objects.filter(undoes=run, state=RunState.AWAITING_APPROVAL).first()
        )
        self.step("failback offered", back.plan[0]["sentence"], f"/runs/{back.pk}/", back.created_at)
        mail, link = self.letter(back, OWNER)
        self.step("mail", f"{mail.subject!r} to {OWNER}: {dana} proposed it, so somebody else decides", link, mail.at)

    def offer(self, visitor: Visitor, run: Run) -> None:
        """Dana presses “Put it back” on the run's page."""
        visitor.open(f"{settings.BASE_URL}/login/?next=/runs/{run.pk}/")
        visitor.submit({"login": STAFF, "password": self.cast.password})
        visitor.picture("run")
        visitor.follow("Put it back")
        visitor.submit({})
        visitor.open(f"{settings.BASE_URL}/incidents/{run.incident_id}/")
        visitor.picture("incident")


def fetched(host: str, port: int) -> str:
    """What a browser would get there, in a few words."""
    address = f"http://{host}:{port}/"
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=10) as page:
            return f"{page.status} {re.sub('<[^>]+>', ' ', page.read(500).decode()).split('.')[0].strip()}"
    except (urllib.error.URLError, OSError) as error:
        raise NeverHappened(f"{address} does not answer: {error}") from None
