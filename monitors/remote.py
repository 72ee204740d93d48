"""How does the portal deal with probes elsewhere? Tokens, enrolment, who speaks, orders, jobs: one door each.

Every request of a probe but its enrolment goes through `recognise`: the key, the time, the counter and the process must
fit, or `Denied` says why. Results are taken by `monitors.ingest`; what follows from silence is in `monitors.watching`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from monitors import checks, watching
from monitors.diagnosis import orders
from monitors.models import Monitor, Probe, ProbeJob, ProbeState
from monitors.probe import identity
from monitors.probe.clock import EPOCH, micros
from monitors.signals import probe_job_finished
from portal import audit, bells
from portal.audit import Actor
from portal.errors import Refused
from portal.models import OneTimeLink
from portal.secrets import CannotOpen

log = logging.getLogger("watchkeeper.remote")

TOKEN_FOR = timedelta(minutes=10)
OLDEST = timedelta(minutes=5)  # of a request, by the portal's time as the probe knows it
SPEAKING = timedelta(seconds=15)  # a process that was heard so lately still speaks
JOB_GRACE = timedelta(seconds=60)  # after a job's time, for its outcome to arrive
MOST_JOBS, MOST_ENDED = 20, 1000  # handed out by one answer; ended by one sweep
ACT = "act"  # the kind of job that is an order to act: `monitors.acting`
LONGEST_ACT = timedelta(seconds=600)
PURPOSE = "probe"
PASSIVE = [name for name, kind in checks.KINDS.items() if kind.passive]


class Denied(Exception):
    """A probe's request is refused. `code` is one word, `more` goes into the answer beside it."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int = 0, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after, self.more = status, code, retry_after, more


# --- The portal's own key -----------------------------------------------------------------------------------------------
@lru_cache(maxsize=2)
def _key(secret: str) -> Ed25519PrivateKey:
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"watchkeeper: answers to probes").derive(
        secret.encode()
    )
    return Ed25519PrivateKey.from_private_bytes(seed)


def portal_key() -> Ed25519PrivateKey:
    """The key of all our answers: derived from SECRET_KEY, so every process has it. A new SECRET_KEY means enrolling anew."""
    return _key(settings.SECRET_KEY)


def portal_public_key() -> str:
    """Its public half, as probes pin it."""
    return identity.public_of(portal_key())


# --- Enrolment ----------------------------------------------------------------------------------------------------------
def new_token(probe: Probe, *, by: Actor, at: datetime) -> str:
    """A token that lets one program enrol as this probe, once, within ten minutes. Earlier ones end."""
    if probe.built_in:
        raise Refused("The portal's own workers are this probe; it needs no token.")
    with transaction.atomic():
        _end_tokens(probe, at)
        secret = OneTimeLink.make(PURPOSE, expires_at=at + TOKEN_FOR, subject=f"probe:{probe.pk}")
        audit.record("probe.token", probe, by=by, client_id=probe.client_id)
    return identity.token_of(secret, portal_public_key())


def _end_tokens(probe: Probe, at: datetime) -> None:
    OneTimeLink.objects.filter(purpose=PURPOSE, subject=f"probe:{probe.pk}", used_at=None).update(used_at=at)


def enroll(secret: str, public_key: str, host: str, *, at: datetime, ip: str = "") -> Probe:
    """Pin this public key. Denied for a token that is unknown, used or too old, or a key that is another probe's."""
    link = OneTimeLink.find(PURPOSE, secret)
    if link is None:
        raise Denied(403, "token", "This token is not known; ask the portal for a new one.")
    with transaction.atomic():
        if not link.use(at):
            raise Denied(
                403, "token", "This token was used or is older than ten minutes; ask the portal for a new one."
            )
        probe = Probe.objects.select_for_update().filter(pk=int(link.subject.partition(":")[2]), built_in=False).first()
        if probe is None:
            raise Denied(403, "token", "The probe of this token was deleted.")
        if Probe.objects.filter(public_key=public_key).exclude(pk=probe.pk).exists():
            raise Denied(409, "key", "Another probe has this key already; each probe makes its own.")
        probe.public_key, probe.enrolled_at, probe.revoked_at = public_key, at, None
        probe.instance, probe.counter, probe.hostname = "", 0, host
        probe.save(update_fields=["public_key", "enrolled_at", "revoked_at", "instance", "counter", "hostname"])
        audit.record(
            "probe.enroll", probe, by=Actor(f"probe {probe.slug} on {host}"[:200], ip=ip), client_id=probe.client_id, after={"key": identity.fingerprint(public_key), "host": host}
        )  # fmt: skip
    return probe


def revoke(probe: Probe, *, by: Actor, at: datetime) -> Probe:
    """Its key opens nothing from this moment on, and what it saw last does not vote. A new token lets it enrol anew."""
    if probe.built_in:
        raise Refused("The portal's own workers are this probe; disable it instead.")
    with transaction.atomic():
        probe = Probe.objects.select_for_update().get(pk=probe.pk)
        if probe.revoked_at is not None:
            raise Refused("This probe is revoked already.")
        _end_tokens(probe, at)
        probe.revoked_at, probe.instance = at, ""
        probe.save(update_fields=["revoked_at", "instance"])
        ProbeState.objects.filter(probe=probe, active=True).update(stale=True, changed=True)
        watching.fall_silent(probe, at)
        audit.record("probe.revoke", probe, by=by, client_id=probe.client_id)
        bells.ring_on_commit(bells.EVALUATE)
    return probe


# --- Who speaks ---------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Request:
    """A probe's request, as it came over the wire."""

    method: str
    path: str  # from /probe/v1/ on, with the query
    body: bytes
    probe: int
    at_ms: int
    counter: int
    instance: str
    signature: str


@dataclass(slots=True)
class Caller:
    """A probe that was recognised, and when."""

    probe: Probe
    at: datetime
    request: Request = field(repr=False)

    @property
    def made_at(self) -> datetime:
        """When the request was made, by our time; one that hung on a dead line arrives much later."""
        return min(self.at, EPOCH + timedelta(milliseconds=self.request.at_ms))


def known(request: Request) -> Probe:
    """The probe whose key signed this. Denied (401) for all others, without a word about which part was wrong."""
    probe = (
        Probe.objects.filter(pk=request.probe, built_in=False)
        .exclude(public_key="")
        .exclude(client__deleted_at__isnull=False)
        .first()
    )
    r = request
    text = identity.request_text(r.probe, r.method, r.path, r.at_ms, r.counter, r.instance, r.body)
    if probe is None or not identity.verify(probe.public_key, r.signature, text):
        raise Denied(401, "signature", "This probe is not known here, or the request is not signed by it.")
    return probe


def recognise(probe: Probe, request: Request, at: datetime) -> Caller:
    """Is the request fresh, new, and from the process that speaks for the probe? Denied otherwise."""
    _fresh(probe, request, at)
    taken = Probe.objects.filter(
        pk=probe.pk, instance=request.instance, counter__lt=request.counter, revoked_at=None, public_key=probe.public_key
    ).exclude(instance="").update(counter=request.counter, last_seen_at=at)  # fmt: skip
    if not taken:
        probe.refresh_from_db()
        _fresh(probe, request, at)
        if not probe.instance:
            raise Denied(409, "instance", "Say hello first.")
        _note_rival(probe, request, at)
        raise Denied(409, "instance", "Another process speaks for this probe.")
    probe.counter, probe.last_seen_at = request.counter, at
    if probe.health.get("rival_at"):
        watching.two_speak(probe, at)
    return Caller(probe, at, request)


def _fresh(probe: Probe, request: Request, at: datetime) -> None:
    if probe.revoked_at is not None:
        raise Denied(403, "revoked", "This probe was revoked; a new token lets it enrol anew.")
    if abs((at - EPOCH).total_seconds() * 1000 - request.at_ms) > OLDEST.total_seconds() * 1000:
        raise Denied(401, "stale", "The request is older than five minutes, or from the future.")
    if request.counter <= probe.counter:
        raise Denied(401, "replay", "This request was made before; the counter must rise.", counter=probe.counter)


def hello(probe: Probe, request: Request, said: dict[str, Any], at: datetime) -> Caller:
    """A process begins to speak for its probe (or takes its leave). Denied (409) while another one speaks."""
    _fresh(probe, request, at)
    if not request.instance:
        raise Denied(400, "instance", "A process names itself.")
    with transaction.atomic():
        probe = Probe.objects.select_for_update().get(pk=probe.pk)
        _fresh(probe, request, at)
        other = probe.instance not in ("", request.instance)
        if other and probe.last_seen_at is not None and at - probe.last_seen_at < SPEAKING:
            rival = True
        else:
            rival = False
            probe.instance = "" if said.get("leaving") is True else request.instance
            probe.counter, probe.last_seen_at = request.counter, at
            probe.version, probe.hostname = _words(said, "version", 40), _words(said, "host", 120) or probe.hostname
            probe.platform = _words(said, "platform", 200) or probe.platform
            probe.clock_offset_ms = _offset(said.get("clock_offset_ms"), probe.clock_offset_ms)
            probe.health.pop("rival_at", None)  # whoever waited speaks now: nobody else was heard meanwhile
            names = ["instance", "counter", "last_seen_at", "hostname", "platform", "clock_offset_ms", "health"]
            probe.save(update_fields=names if said.get("leaving") is True else [*names, "version"])
    if rival:
        _note_rival(probe, request, at)
        raise Denied(409, "instance", "Another process speaks for this probe; this one waits until it is silent.")
    return Caller(probe, at, request)


def _words(said: dict[str, Any], name: str, most: int) -> str:
    value = said.get(name)
    return checks.base.safe_sentence(value[:most]) if isinstance(value, str) else ""


def _offset(given: Any, before: int | None) -> int | None:
    return max(-(2**31), min(2**31 - 1, given)) if type(given) is int else before


def _note_rival(probe: Probe, request: Request, at: datetime) -> None:
    """A second process tried. When the first speaks once more after this, there are two (`watching.two_speak`)."""
    with transaction.atomic():
        row = Probe.objects.select_for_update().get(pk=probe.pk)
        if row.instance and row.instance != request.instance:
            row.health = {**row.health, "rival_at": at.isoformat()}
            row.save(update_fields=["health"])


# --- What there is to do ------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Work:
    """An answer to "what is there to do?"; `body` is built only when it is sent."""

    etag: str
    body: Callable[[], dict[str, Any]]


def assigned(probe: Probe) -> Any:
    """The views that this probe keeps for us now. A private probe watches its own client only, whatever rows say."""
    views = ProbeState.objects.filter(probe=probe, active=True, monitor__enabled=True).exclude(
        monitor__kind__in=PASSIVE
    )
    return views.filter(monitor__client=probe.client_id) if probe.client_id else views


def work(probe: Probe, at: datetime, have: str = "") -> Work:
    """All that this probe has to do; `have` is the ETag of what it knows (then an unchanged list is not sent again)."""
    rows = list(assigned(probe).order_by("monitor_id").values_list("monitor_id", "monitor__config_version", "next_due_at")) if probe.enabled else []  # fmt: skip
    # Overdue, or asked for at once: told with the moment it was asked for, so that each request is followed once.
    rush = [[monitor, micros(due)] for monitor, _, due in rows if due <= at]
    text = repr((probe.assignment_version, probe.client_id, [(m, v) for m, v, _ in rows]))
    version = hashlib.sha256(text.encode()).hexdigest()[:16]
    taken = _take_jobs(probe, at)
    rest = hashlib.sha256(repr((probe.anchors, rush, [j["id"] for j in taken])).encode()).hexdigest()[:16]
    known_list = have.strip('"').partition(".")[0] == version

    def body() -> dict[str, Any]:
        orders = None if known_list else _orders(probe, [monitor for monitor, _, _ in rows])
        private = probe.client_id is not None
        return {"version": version, "monitors": orders, "anchors": probe.anchors, "rush": rush, "jobs": taken, "private": private}  # fmt: skip

    return Work(f'"{version}.{rest}"', body)


def _orders(probe: Probe, ids: list[int]) -> list[dict[str, Any]]:
    return [order_of(m, probe) for m in Monitor.objects.filter(pk__in=ids).order_by("pk")]


def order_of(m: Monitor, probe: Probe) -> dict[str, Any]:
    """One monitor as a probe needs it, its secrets readable: the way there is encrypted, and signed by us."""
    try:
        config = {**m.config, **m.secrets.open()}
    except CannotOpen:
        config = {"cannot_open": True}  # the probe says that the settings cannot be used
    return {
        "id": m.pk, "version": m.config_version, "kind": m.kind, "config": config, "interval": m.interval_seconds, "timeout": m.timeout_seconds,
        "confirmation_count": m.confirmation_count, "confirmation_seconds": m.confirmation_seconds, "recovery_count": m.recovery_count,
        "recovery_seconds": m.recovery_seconds, "degraded_latency_ms": m.degraded_latency_ms, "degraded_loss_percent": m.degraded_loss_percent,
        "private": m.trusted or probe.client_id is not None,
    }  # fmt: skip


# --- Jobs ---------------------------------------------------------------------------------------------------------------
def ask(
    probe: Probe, kind: str, body: dict[str, Any], *, key: str, by: str, at: datetime, within: timedelta
) -> ProbeJob:
    """Ask a probe to do something once; the same key gives the same job. Refused when it could not hear us."""
    if probe.built_in or not probe.public_key or probe.revoked_at is not None or not probe.enabled:
        raise Refused("This probe takes no jobs: it is not enrolled, disabled or revoked.")
    job, _ = ProbeJob.objects.get_or_create(
        key=key, defaults={"probe": probe, "kind": kind, "body": body, "requested_by": by[:200], "created_at": at, "expires_at": at + within}
    )  # fmt: skip
    return job


def _take_jobs(probe: Probe, at: datetime) -> list[dict[str, Any]]:
    """Waiting jobs, taken by this answer: if it is lost, nobody does them (at most once, never twice)."""
    state = ProbeJob.State
    fresh = ProbeJob.objects.filter(probe=probe, state=state.WAITING, expires_at__gt=at)  # the others: `end_jobs`
    found = []
    for job in list(fresh.order_by("pk")[:MOST_JOBS]):
        if ProbeJob.objects.filter(pk=job.pk, state=state.WAITING).update(state=state.TAKEN, taken_at=at):
            found.append(
                {
                    "id": job.pk,
                    "kind": job.kind,
                    "body": orders.sent(job.body, probe.pk),
                    "expires_ms": micros(job.expires_at) // 1000,
                }
            )
    return found


def finish_job(caller: Caller, pk: int, said: dict[str, Any]) -> ProbeJob:
    """Take a job's outcome, once. Denied for another probe's job, and for one that is not under way."""
    states = {s.value for s in ProbeJob.State} - {ProbeJob.State.WAITING.value, ProbeJob.State.TAKEN.value}
    state, result = said.get("state"), said.get("result")
    if state not in states or not isinstance(result, dict):
        raise Denied(400, "invalid", f"state: one of {', '.join(sorted(states))}; result: an object.")
    job = ProbeJob.objects.filter(pk=pk, probe=caller.probe).first()
    if job is None:
        raise Denied(404, "unknown", "This probe has no such job.")
    with transaction.atomic():
        moved = ProbeJob.objects.filter(pk=pk, state__in=(ProbeJob.State.TAKEN, ProbeJob.State.UNKNOWN)).update(
            state=state, result=result, finished_at=caller.at
        )
        if not moved:
            raise Denied(409, "finished", "This job is finished.")
        job.refresh_from_db()
        probe_job_finished.send(ProbeJob, job=job, at=caller.at)
    return job


def end_jobs(at: datetime) -> int:
    """Jobs nobody took in time are expired; of those that were taken and never answered, the outcome is unknown."""
    state = ProbeJob.State
    waiting, taken = Q(state=state.WAITING, expires_at__lt=at), Q(state=state.TAKEN, expires_at__lt=at - JOB_GRACE)
    ended = 0
    for job in ProbeJob.objects.filter(waiting | taken).order_by("pk")[:MOST_ENDED]:
        if job.state == state.TAKEN and _may_be_at_it(job, at):
            continue
        try:
            ended += _end(job, state.EXPIRED if job.state == state.WAITING else state.UNKNOWN, at)
        except Exception:  # whoever listens: one that breaks must not keep the others, and the look-out, from going on
            log.exception("the end of job %d could not be told; again in a moment", job.pk)
    return ended


def _may_be_at_it(job: ProbeJob, at: datetime) -> bool:
    """Is an action perhaps still under way? The machine's own file says how long it may take."""
    if job.kind != ACT:
        return False
    seconds = job.body.get("seconds")
    limit = timedelta(seconds=seconds) if type(seconds) is int and 0 < seconds <= 600 else LONGEST_ACT
    return at - (job.taken_at or job.expires_at) <= limit + JOB_GRACE


def _end(job: ProbeJob, state: str, at: datetime) -> bool:
    """End a job without its probe's word, and tell whoever asked. False when it moved meanwhile."""
    with transaction.atomic():
        if not ProbeJob.objects.filter(pk=job.pk, state=job.state).update(state=state, finished_at=at):
            return False
        job.refresh_from_db()
        probe_job_finished.send(ProbeJob, job=job, at=at)
    return True
