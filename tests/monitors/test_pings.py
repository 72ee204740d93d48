"""Jobs report by curl and by Healthchecks' own clients: what is answered, kept and concluded?"""

from __future__ import annotations

import logging
import subprocess
import uuid
from datetime import timedelta

import pytest
from django.test import Client as Browser

from monitors import checks, pings, services
from monitors.checks.heartbeat import judge
from monitors.models import Monitor, Ping
from monitors.models.monitor import State
from monitors.prober import revived
from portal.clock import database_now
from tests import cast
from tests.monitors.rows import monitor

pytestmark = pytest.mark.django_db
JOB = Browser(enforce_csrf_checks=True)


@pytest.fixture
def job() -> Monitor:
    return monitor(name="Nightly backup", kind="heartbeat", config={"period_seconds": 3600, "grace_seconds": 60})


def facts(m: Monitor) -> dict:
    return m.views.get().facts


def verdict(m: Monitor, later: timedelta = timedelta()) -> str:
    config = checks.parse("heartbeat", m.config)
    return judge(config, revived(facts(m)), database_now() + later).status.name


def test_get_post_and_head_are_pings_and_the_answer_is_ok(job):
    assert [JOB.get(f"/ping/{job.uuid}").content, JOB.post(f"/ping/{job.uuid}/").content] == [b"OK", b"OK"]
    answer = JOB.head(f"/ping/{job.uuid}")
    assert (
        answer.status_code == 200
        and answer["Content-Type"].startswith("text/plain")
        and "no-store" in answer["Cache-Control"]
    )
    assert list(Ping.objects.order_by("id").values_list("method", "kind")) == [
        ("GET", "success"),
        ("POST", "success"),
        ("HEAD", "success"),
    ]
    assert JOB.put(f"/ping/{job.uuid}").status_code == 405


def test_a_ping_is_judged_at_once(job):
    assert (
        job.views.get().next_due_at > database_now() + timedelta(days=365) and verdict(job) == "UNKNOWN"
    )  # new never alerts
    JOB.get(f"/ping/{job.uuid}")
    assert job.views.get().next_due_at <= database_now()
    assert (
        verdict(job) == "UP"
        and verdict(job, timedelta(minutes=60, seconds=50)) == "UP"
        and verdict(job, timedelta(minutes=62)) == "FAILING"
    )


@pytest.mark.parametrize(
    ("what", "status"),
    [("fail", "FAILING"), ("1", "FAILING"), ("255", "FAILING"), ("0", "UP"), ("start", "UP"), ("log", "UP")],
)
def test_what_a_signal_means(job, what, status):
    JOB.get(f"/ping/{job.uuid}")
    assert JOB.get(f"/ping/{job.uuid}/{what}").content == b"OK"
    assert verdict(job) == status
    JOB.get(f"/ping/{job.uuid}")
    assert verdict(job) == "UP"


def test_a_log_line_changes_nothing(job):
    JOB.get(f"/ping/{job.uuid}/log")
    assert facts(job) == {} and Ping.objects.get().kind == "log"


def test_a_started_job_that_never_ends_is_missed(job):
    JOB.get(f"/ping/{job.uuid}/start")
    assert verdict(job) == "UP" and verdict(job, timedelta(seconds=61)) == "FAILING"


def test_durations_count_from_the_start_of_the_same_run(job):
    one, other = uuid.uuid4(), uuid.uuid4()
    for path in (f"start?rid={one}", f"start?rid={other}", f"0?rid={one}", f"fail?rid={other}", f"?rid={one}"):
        JOB.get(f"/ping/{job.uuid}/{path}".replace("/?", "?"))
    rows = list(Ping.objects.order_by("id"))
    Ping.objects.filter(pk=rows[0].pk).update(at=rows[2].at - timedelta(seconds=90))
    known = [p.duration_ms is not None for p in rows]
    assert known == [False, False, True, True, False]  # the last one's run had ended already
    assert JOB.get(f"/ping/{job.uuid}?rid=nonsense").status_code == 400 and Ping.objects.count() == 5


def test_without_a_rid_start_and_end_belong_together(job):
    JOB.get(f"/ping/{job.uuid}/start")
    Ping.objects.update(at=database_now() - timedelta(seconds=90))
    JOB.get(f"/ping/{job.uuid}/log")
    JOB.get(f"/ping/{job.uuid}")
    assert 90_000 <= Ping.objects.latest("id").duration_ms < 120_000


def test_the_body_is_kept_up_to_10_kb_whatever_it_is(job):
    JOB.post(
        f"/ping/{job.uuid}",
        data=b"done\x00 \xff" + b"x" * 3_000_000,
        content_type="application/octet-stream",
        HTTP_USER_AGENT="u" * 500,
    )
    ping = Ping.objects.get()
    assert ping.body.startswith("done� �xxx") and len(ping.body) == pings.KEPT_BODY
    assert len(ping.user_agent) == 200 and ping.remote == "127.0.0.1"
    assert JOB.post(f"/ping/{job.uuid}", data={"a": "b"}).status_code == 200  # a form is only a body


@pytest.mark.parametrize(
    "path",
    [
        "{other}",
        "{uuid}/nonsense",
        "nonsense",
        "",
        "------------------------------------",
        "wk_00000000_aaaaaaaaaaaaaaaaaaaaaaaa/slug",
        "{uuid}/start/x",
    ],
)
def test_unknown_addresses_are_404_in_plain_text(job, path):
    answer = JOB.get("/ping/" + path.format(other=uuid.uuid4(), uuid=job.uuid))
    assert (answer.status_code, answer.content) == (404, b"not found") and Ping.objects.count() == 0


def test_another_kind_has_no_ping_address():
    m = monitor(kind="push")
    assert JOB.get(f"/ping/{m.uuid}").status_code == 404


@pytest.mark.parametrize("code", ["256", "1000", "9999999999"])
def test_an_impossible_exit_code_is_400(job, code):
    assert JOB.get(f"/ping/{job.uuid}/{code}").status_code == 400 and Ping.objects.count() == 0


def test_the_first_ping_resumes_a_paused_job_but_a_log_line_does_not(job):
    services.pause(job, by=cast.TESTS, at=database_now())
    JOB.get(f"/ping/{job.uuid}/log")
    job.refresh_from_db()
    assert (job.enabled, job.state) == (False, State.PAUSED)
    JOB.get(f"/ping/{job.uuid}")
    job.refresh_from_db()
    assert (job.enabled, job.state) == (True, State.PENDING)
    assert job.views.get().active and verdict(job) == "UP"


def test_too_many_pings_are_429_and_another_job_is_not_concerned(job):
    for _ in range(pings.MOST_A_MINUTE):
        assert JOB.get(f"/ping/{job.uuid}").status_code == 200
    answer = JOB.get(f"/ping/{job.uuid}")
    assert answer.status_code == 429 and 1 <= int(answer["Retry-After"]) <= 60
    assert Ping.objects.count() == pings.MOST_A_MINUTE
    assert JOB.get(f"/ping/{monitor(name='other', kind='heartbeat').uuid}").status_code == 200
    Ping.objects.update(at=database_now() - timedelta(minutes=2))
    assert JOB.get(f"/ping/{job.uuid}").status_code == 200


def test_it_is_shown_where_the_job_reports_also_after_its_settings_change(job):
    JOB.get(f"/ping/{job.uuid}")
    job.views.update(next_due_at=database_now() + timedelta(hours=1))
    job.config = {"period_seconds": 10, "grace_seconds": 0}
    services.save(job, by=cast.TESTS, at=database_now())
    assert job.views.get().next_due_at <= database_now()  # judged anew by the new period


# --- By key and slug --------------------------------------------------------------------------------------------------------
def key(who=None, *scopes: str, **limits) -> str:
    return cast.token(who or cast.alice(), *(scopes or ("ping",)), **limits)


def test_a_key_finds_its_own_clients_job_by_slug(job):
    assert job.slug == "nightly-backup"
    assert JOB.get(f"/ping/{key()}/nightly-backup/start").content == b"OK"
    assert JOB.get(f"/ping/{key()}/nightly-backup").content == b"OK" and verdict(job) == "UP"
    assert JOB.get(f"/ping/{key(cast.mallory())}/nightly-backup").status_code == 404
    assert Ping.objects.count() == 2


def test_a_token_without_the_scope_is_no_key(job):
    assert JOB.get(f"/ping/{key(None, 'read', 'write', 'admin')}/nightly-backup").status_code == 404


def test_a_missing_job_is_made_when_asked():
    plain = key()
    assert JOB.get(f"/ping/{plain}/cleanup").status_code == 404
    answer = JOB.get(f"/ping/{plain}/cleanup?create=1")
    assert (answer.status_code, answer.content) == (201, b"Created")
    m = Monitor.objects.get()
    assert (m.client, m.name, m.slug, m.kind, m.trusted) == (cast.acme(), "cleanup", "cleanup", "heartbeat", False)
    assert JOB.get(f"/ping/{plain}/cleanup?create=1").content == b"OK" and Monitor.objects.count() == 1
    assert JOB.get(f"/ping/{key(cast.viewer())}/another?create=1").status_code == 404  # a viewer makes nothing
    assert (
        JOB.get(f"/ping/{key(cast.make_staff(), client=cast.globex() and cast.acme())}/third?create=1").status_code
        == 201
    )


def test_a_key_for_several_clients_says_that_it_is_ambiguous(job):
    monitor(cast.globex(), name="Nightly backup", kind="heartbeat")
    staff = key(cast.make_staff())
    assert JOB.get(f"/ping/{staff}/nightly-backup").status_code == 409
    assert JOB.get(f"/ping/{staff}/new?create=1").status_code == 409


def test_a_key_is_not_written_into_the_log(job, caplog):
    plain = key()
    with caplog.at_level(logging.DEBUG):
        JOB.get(f"/ping/{plain}/no-such-job")
        JOB.get(f"/ping/{plain}/nightly-backup/999")
    assert plain not in caplog.text


# --- Real clients -----------------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_curl_pings_over_a_real_socket(live_server):
    job = monitor(name="by curl", kind="heartbeat")
    where = f"{live_server.url}/ping/{job.uuid}"
    for line in (
        ["-fsS", "-m", "10", "--retry", "5", where],
        ["-fsS", "--data-raw", "exit output", f"{where}/3"],
        ["-fsSI", where],
    ):
        try:
            done = subprocess.run(["curl", *line], capture_output=True, text=True, timeout=30)
        except FileNotFoundError:
            pytest.skip("NOT RUN: curl is not installed")
        assert done.returncode == 0, done.stderr
    assert list(Ping.objects.order_by("id").values_list("kind", "exit_code", "body")) == [
        ("success", None, ""),
        ("exit", 3, "exit output"),
        ("success", None, ""),
    ]
