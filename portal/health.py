"""Is the portal alive, ready, and how is it doing? `/healthz`, `/readyz` and `/metrics` for those who watch the watcher."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse

from portal import database, registry
from portal.api.authentication import token_of
from portal.clock import database_now
from portal.middleware import api_error
from portal.models import Worker
from portal.tenancy import READ, Viewer, viewer_of

log = logging.getLogger("watchkeeper.health")

FRESH = timedelta(seconds=10)  # workers tick each second
FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_FORWARDED",
    "HTTP_X_REAL_IP",
    "HTTP_VIA",
)
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
Sample = tuple[str, dict[str, str], float]


def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers. Nothing else is asked, so that a sick database does not get web processes restarted."""
    return HttpResponse("OK\n", content_type="text/plain; charset=utf-8")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 when requests and checks are served, else 503 with the reasons."""
    reasons, roles = [], {}
    try:
        if database.pending():
            reasons.append("The database is not migrated; run manage.py migrate.")
        else:
            roles = fresh_roles(database_now())
            if not roles:
                reasons.append("No worker has been seen for 10 seconds; start one (manage.py up --only worker).")
    except (DatabaseError, InterfaceError, OSError) as error:
        log.warning("not ready: the database does not answer (%s)", type(error).__name__)
        reasons.append("The database does not answer.")
    status = "not_ready" if reasons else "ready"
    answer = JsonResponse({"status": status, "reasons": reasons, "workers": roles}, status=503 if reasons else 200)
    answer["Cache-Control"] = "no-store"
    return answer


def fresh_roles(at: datetime) -> dict[str, int]:
    """How many living workers have which role."""
    roles: dict[str, int] = {}
    for role in Worker.objects.filter(seen_at__gte=at - FRESH).values_list("role", flat=True):
        roles[role] = roles.get(role, 0) + 1
    return roles


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text, for a token that reads everything, or for a scraper on this machine that came without a proxy."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = token_of(plain.strip())
        if token is None:
            return _unauthenticated()
        person = viewer_of(token.user)
        viewer = Viewer(user=token.user, token=token, msp_role=person.msp_role, client_roles=person.client_roles)
        if not (viewer.sees_all and viewer.may(READ, None)):
            return api_error(
                403, "forbidden", "Metrics are about all clients: use a token of our own staff with the scope read."
            )
    elif not _from_here(request):
        return _unauthenticated()
    return HttpResponse("".join(exposition(database_now())), content_type="text/plain; version=0.0.4; charset=utf-8")


def _unauthenticated() -> HttpResponse:
    answer = api_error(401, "not_authenticated", "Send `Authorization: Bearer wk_…` of a token with the scope read.")
    answer["WWW-Authenticate"] = 'Bearer realm="Watchkeeper metrics"'
    return answer


def _from_here(request: HttpRequest) -> bool:
    """From this machine, asked by a local name, and not through a proxy that speaks for somebody else."""
    try:
        loopback = ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
    host = request.get_host()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return loopback and name in LOCAL_NAMES and not any(header in request.META for header in FORWARDED)


def exposition(at: datetime) -> Iterator[str]:
    """The text format, each name once with its help and type. A source that fails is left out and named in the log."""
    found: dict[str, list[Sample]] = {}
    for source in list(registry.metrics):
        started = time.monotonic()
        try:
            for sample in source(at):
                found.setdefault(sample[0], []).append(sample)
        except Exception:  # one app's trouble must not hide the others' numbers
            log.exception("metrics of %s are missing", source.__module__)
        if time.monotonic() - started > 1:
            log.warning("metrics of %s took %.1f s", source.__module__, time.monotonic() - started)
    for name in sorted(found):
        kind, text = registry.metric_help.get(name, ("untyped", ""))
        yield f"# HELP {name} {_escaped(text)}\n# TYPE {name} {kind}\n"
        for _, labels, value in found[name]:
            inside = ",".join(f'{key}="{_escaped(str(word), quotes=True)}"' for key, word in sorted(labels.items()))
            yield f"{name}{{{inside}}} {_number(value)}\n" if inside else f"{name} {_number(value)}\n"


def _number(value: float) -> str:
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
    return str(int(value)) if value.is_integer() else repr(value)


def _escaped(text: str, quotes: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text


def own_metrics(at: datetime) -> Iterable[Sample]:
    """The ground's numbers: who works, and how far away the database is."""
    for role, count in sorted(fresh_roles(at).items()):
        yield "watchkeeper_workers", {"role": role}, count
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    yield "watchkeeper_database_seconds", {}, time.perf_counter() - started
    yield "watchkeeper_clock_offset_seconds", {}, (datetime.now(UTC) - at).total_seconds()


def register() -> None:
    """Add them to `/metrics`."""
    registry.add_metrics(
        own_metrics,
        watchkeeper_workers=("gauge", "Living worker processes by role."),
        watchkeeper_database_seconds=("gauge", "Round trip of an empty query."),
        watchkeeper_clock_offset_seconds=("gauge", "How far this process's clock is ahead of the database's."),
    )
