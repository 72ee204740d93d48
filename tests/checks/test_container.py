"""Does the container check read what an engine says, and nothing but read? Against an engine and a registry on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks import container
from monitors.checks.base import Outcome, Status
from monitors.hosts import containers, registry
from monitors.hosts.docker import spoken
from portal.outbound.guard import Reach
from tests.checks.lab import LONG, LOOPBACK, SHORT, check
from tests.rig.answers import Answer
from tests.rig.docker import DockerEngine
from tests.rig.registry import Registry

pytestmark = pytest.mark.once
INSIDE = Reach(allow=LOOPBACK.allow, private=True)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DockerEngine]:
    with DockerEngine(tmp_path / "docker.sock") as found:
        yield found


@pytest.fixture
def images() -> Iterator[Registry]:
    with Registry() as found:
        yield found


@pytest.fixture(autouse=True)
def fresh() -> None:
    """A probe that has just begun."""
    container._engines.clear()
    container._updates.clear()


def look(engine: DockerEngine, timeout: float = LONG, reach: Reach = INSIDE, **config: Any) -> Outcome:
    return check("container", {"socket": engine.path, "updates": False} | config, reach=reach, timeout=timeout)


def seen(engine: DockerEngine, **config: Any) -> dict[str, dict[str, Any]]:
    outcome = look(engine, **config)
    assert outcome.status == Status.UP, outcome
    return {row["name"]: row for row in outcome.facts["containers"]["list"]}


# --- What is read -----------------------------------------------------------------------------------------------------
def test_every_container_is_seen_and_the_engine_is_only_read(engine):
    engine.run("shop", policy="always", labels={"watchkeeper.severity": "critical", "secret": "x"}, health="healthy")
    engine.run("cron")
    engine.die("cron", 0)
    outcome = look(engine)
    assert (outcome.status, outcome.message) == (Status.UP, "1 of 2 containers run") and outcome.total_ms is None
    rows = {row["name"]: row for row in outcome.facts["containers"]["list"]}
    shop = rows["shop"]
    assert (shop["state"], shop["health"], shop["policy"]) == ("running", "healthy", "always")
    assert shop["labels"] == {"severity": "critical"} and shop["image"] == "nginx:1.27.1"
    assert rows["cron"]["state"] == "exited" and rows["cron"]["exit_code"] == 0
    assert "hunter2-canary" not in json.dumps(outcome.facts), "a container's environment stays where it is"
    assert {method for method, _ in engine.requests} == {"GET"}


def test_memory_leaves_out_the_cache_and_cpu_counts_between_two_looks(engine, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(container, "time", SimpleNamespace(monotonic=lambda: float(next(clock)), time=time.time))
    engine.run("shop", memory_limit=400 << 20)
    engine.use("shop", memory=100 << 20)
    first = seen(engine)["shop"]["values"]
    assert first == {"memory_bytes": 100 << 20, "memory_limit_bytes": 400 << 20, "memory_percent": 25.0}
    engine.use("shop", cpu_seconds=25)
    assert seen(engine)["shop"]["values"]["cpu_percent"] == 250.0, "25 s within 10 s: two and a half processors"


def test_the_last_fifty_lines_are_kept_when_it_dies_without_colours_and_controls(engine):
    engine.run("shop", lines=[f"line {n}" for n in range(100)])
    assert "log" not in seen(engine)["shop"], "a healthy container's log is nobody's business"
    engine.say("shop", "\x1b[31mpanic:\x1b[0m out of \x07cheese")
    engine.die("shop", 2)
    log = seen(engine)["shop"]["log"].splitlines()
    assert len(log) == 50 and log[0] == "line 51" and log[-1] == "panic: out of cheese"
    assert "log" not in seen(engine)["shop"], "once for each death"


def test_a_death_between_two_looks_is_noticed_by_the_count_of_restarts(engine):
    engine.run("shop", policy="always", lines=["bye"])
    seen(engine)
    engine.restarts("shop", 2)
    row = seen(engine)["shop"]
    assert row["restart_count"] == 2 and row["log"] == "bye"


def test_one_that_ran_out_of_memory_and_was_started_again_is_known_by_the_engines_events(engine):
    engine.run("shop", policy="always")
    engine.run("calm", policy="always")
    seen(engine)
    engine.restarts("shop", code=137, oom=True)
    for _ in range(2):
        row = seen(engine)["shop"]
        assert (row["state"], row["exit_code"], row["oom_killed"]) == ("running", 137, True)
    engine.restarts("shop", code=1)
    assert (seen(engine)["shop"]["exit_code"], seen(engine)["shop"]["oom_killed"]) == (1, False)
    assert seen(engine)["calm"]["exit_code"] == 0
    engine.broken = {"/events": 500}
    assert seen(engine)["shop"]["restart_count"] == 2, "an engine without events is read all the same"


def test_no_log_is_read_where_logs_may_hold_secrets(engine):
    engine.run("shop", lines=["password=hunter2-canary"])
    seen(engine, log_lines=0)
    engine.die("shop", 1)
    assert "log" not in seen(engine, log_lines=0)["shop"]
    assert not [target for _, target in engine.requests if "/logs" in target]


def test_a_terminals_log_comes_without_frames(engine):
    engine.run("shop", lines=["one", "two"], tty=True)
    seen(engine)
    engine.die("shop", 1)
    assert seen(engine)["shop"]["log"] == "one\ntwo"
    assert spoken(b"\x01\x00\x00\x00\x00\x00\x00\x03ab\n\x02\x00\x00\x00\x00\x00\x00\x02c\n") == "ab\nc\n"


def test_names_and_labels_decide_which_are_watched(engine):
    for name in ("shop-web", "shop-test", "other"):
        engine.run(name)
    engine.run("shop-batch", labels={"watchkeeper.ignore": "true"})
    assert set(seen(engine, include=["shop-*"], exclude=["*-test"])) == {"shop-web"}


def test_one_that_vanishes_meanwhile_is_left_out_and_one_that_will_not_say_is_unread(engine):
    gone, stuck = engine.run("gone"), engine.run("stuck")
    engine.run("shop")
    engine.broken = {f"{gone}/json": 404, f"{stuck}/json": 500}
    rows = seen(engine)
    assert set(rows) == {"shop", "stuck"} and rows["stuck"] == {"name": "stuck", "unread": True}


def test_two_hundred_containers_fit_into_what_may_be_sent(engine):
    for n in range(210):
        engine.run(f"box-{n:03}", labels={f"watchkeeper.x{i}": "y" * 30 for i in range(20)})
    facts = look(engine, timeout=60).facts["containers"]
    assert facts["cut"] and len(json.dumps(facts)) <= 65536 and len(facts["list"]) > 40


# --- An engine in trouble ---------------------------------------------------------------------------------------------
def test_no_socket_is_a_dead_engine(tmp_path):
    outcome = check("container", {"socket": str(tmp_path / "none.sock")}, reach=INSIDE)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "connect")
    assert "container engine does not run" in outcome.message


def test_an_engine_that_hangs_or_errs_fails(engine):
    engine.broken = {"/containers/json": 500}
    assert look(engine).error_class == "protocol"
    engine.silent = True
    outcome = look(engine, timeout=SHORT)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "timeout")


def test_a_client_cannot_point_the_portal_at_its_own_socket(engine):
    outcome = look(engine, reach=LOOPBACK)
    assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, "blocked")
    assert engine.requests == []


@pytest.mark.parametrize("path", ["docker.sock", "", "http://x", "/a\nb"])
def test_a_socket_is_a_whole_path(path):
    with pytest.raises(ValidationError):
        checks.parse("container", {"socket": path})


# --- Newer images -----------------------------------------------------------------------------------------------------
def test_a_newer_minor_is_found_and_the_registry_is_asked_once_in_six_hours(engine, images):
    for tag in ("1.2.3", "1.2.4", "1.10.0", "1.11.0-rc1", "latest", "1.11.0-alpine"):
        images.publish("acme/shop", tag)
    images.page = 2
    engine.run("shop", f"{images.host}/acme/shop:1.2.3")
    assert seen(engine, updates=True)["shop"]["update"] == {"tag": "1.10.0", "digest": "", "major": False}
    asked = len(images.calls)
    assert seen(engine, updates=True)["shop"]["update"]["tag"] == "1.10.0" and len(images.calls) == asked
    assert {call.method for call in images.calls} == {"HEAD", "GET"}


def test_another_major_says_so(engine, images):
    for tag in ("v1.2.3", "v2.0.0", "3.0.0"):
        images.publish("shop", tag)
    engine.run("shop", f"{images.host}/shop:v1.2.3")
    assert seen(engine, updates=True)["shop"]["update"] == {"tag": "v2.0.0", "digest": "", "major": True}


def test_a_tag_that_was_published_anew_is_seen_by_its_digest(engine, images):
    old = images.publish("shop", "latest", "monday's")
    image = f"{images.host}/shop:latest"
    engine.pull(image, old)
    engine.run("shop", image)
    engine.pull(image, old)
    engine.containers[next(iter(engine.containers))]["Image"] = engine.images[image]["Id"]
    assert seen(engine, updates=True)["shop"]["update"] == {}
    container._updates.clear()
    new = images.publish("shop", "latest", "tuesday's")
    assert seen(engine, updates=True)["shop"]["update"] == {"tag": "latest", "digest": new, "major": False}


def test_a_registry_that_does_not_answer_says_nothing_and_harms_nothing(engine, images):
    engine.run("shop", f"{images.host}/unknown:1.0")
    engine.run("pinned", f"{images.host}/acme/shop@sha256:{'0' * 64}")
    rows = seen(engine, updates=True)
    assert "update" not in rows["shop"] and "update" not in rows["pinned"]


def test_a_registry_cannot_send_us_and_its_token_elsewhere(engine, images):
    images.publish("shop", "1.0")
    with Registry() as other:
        there = f'<http://{other.host}/v2/shop/tags/list?last=1.0>; rel="next"'
        images.behave("/v2/shop/tags/list", Answer(200, b'{"tags": ["1.0", "1.1"]}', {"Link": there}))
        engine.run("shop", f"{images.host}/shop:1.0")
        assert seen(engine, updates=True)["shop"]["update"]["tag"] == "1.1"
        assert other.calls == []


def test_the_registry_is_asked_through_the_guard(engine, images):
    images.publish("shop", "1.0")
    engine.run("shop", f"{images.host}/shop:1.0")
    rows = look(engine, updates=True, reach=Reach(private=True)).facts["containers"]["list"]
    assert "update" not in rows[0] and images.calls == [], "loopback is not allowed there"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("nginx", registry.Image("docker.io", "library/nginx", "latest")),
        ("grafana/grafana:11.2.0", registry.Image("docker.io", "grafana/grafana", "11.2.0")),
        ("docker.io/nginx:1", registry.Image("docker.io", "library/nginx", "1")),
        ("ghcr.io/acme/shop:v1", registry.Image("ghcr.io", "acme/shop", "v1")),
        ("localhost:5000/x", registry.Image("localhost:5000", "x", "latest")),
        (f"nginx:1.27@sha256:{'a' * 64}", registry.Image("docker.io", "library/nginx", "")),
        (f"sha256:{'a' * 64}", None),
        ("4f5d6e7a8b9c", None),
        ("nginx:../x", None),
        ("acme/../../etc", None),
        ("UPPER/case", None),
    ],
)
def test_an_images_name_says_where_it_comes_from(text, wanted):
    assert registry.image_of(text) == wanted


@pytest.mark.parametrize(
    ("tag", "tags", "wanted"),
    [
        ("1.27.1", ["1.27.2", "1.28.0", "1.9.9"], ("1.28.0", False)),
        ("1.27.1", ["2.0.0", "1.28.0"], ("2.0.0", True)),
        ("1.27.1-alpine", ["1.28.0", "1.27.2-alpine", "1.28.0-bookworm"], ("1.27.2-alpine", False)),
        ("1.27", ["1.27.5", "1.28"], ("1.28", False)),
        ("16", ["17", "16.4", "20240101"], ("17", True)),
        ("latest", ["1.0", "2.0"], None),
        ("1.27.1", ["1.28.0-rc1", "1.27.1", "v1.30.0"], None),
        ("20240101", ["20250101"], None),
    ],
)
def test_newer_tags_count_only_in_the_same_shape(tag, tags, wanted):
    assert registry.newer(tag, tags) == wanted


def test_a_first_look_at_what_lies_dead_since_long_reads_its_log_once():
    now = {"id": "a", "state": "exited", "exit_code": 1, "restart_count": 0}
    assert containers.has_died(None, now) and not containers.has_died(now, now)
    assert not containers.has_died(None, now | {"exit_code": 0})
