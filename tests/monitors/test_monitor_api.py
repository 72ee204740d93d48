"""Monitors and probes over the API: bodies as in SPEC 19, mistakes at their field, nobody else's rows, secrets never out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitors import partitions, services
from monitors.models import Certificate, Monitor, Probe, Result, StateChange
from portal.clock import database_now
from portal.models import AuditEntry
from portal.secrets import MASK
from tests import cast
from tests.monitors.rows import FAILING, UP, monitor, probe, result

pytestmark = pytest.mark.django_db
URL = "http://127.0.0.1:9/"


def body(**more) -> dict:
    return {
        "client": cast.acme().pk, "site": cast.site().pk, "service": None, "name": "shop", "kind": "http", "config": {"url": URL}, "interval_seconds": 10,
        "timeout_seconds": 5, "confirmation_seconds": 0, "confirmation_count": 2, "recovery_seconds": 0, "recovery_count": 1, "degraded_latency_ms": None,
        "degraded_loss_percent": None, "quorum": 1, "probes": ["local"], "parent": None, "tags": ["Prod"], **more,
    }  # fmt: skip


@pytest.fixture
def today():
    """Now, with a place to write results."""
    at = database_now().replace(microsecond=0)
    partitions.ensure_ahead(at)
    return at


def fields(answer) -> dict:
    assert answer.status_code == 400, answer.content
    return answer.json()["error"]["fields"]


# --- As the specification prints it ---------------------------------------------------------------------------------------
def test_a_monitor_is_made_as_the_specification_says():
    caller = cast.api(cast.make_staff())
    answer = caller.post("/api/v1/monitors", body())
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (
        made["state"] == "pending"
        and made["config"] == {"url": URL}
        and made["probes"] == ["local"]
        and [t.lower() for t in made["tags"]] == ["prod"]
    )
    assert (
        made["last_result"] is None
        and made["uptime"] == dict.fromkeys(["1h", "24h", "7d", "30d", "90d"])
        and "ping_url" not in made
    )
    m = Monitor.objects.get()
    assert m.trusted and m.views.get().next_due_at <= database_now()  # due at once
    assert AuditEntry.objects.get(action="monitor.create").client_id == cast.acme().pk


def test_what_was_seen_is_told(today):
    m, at = monitor(), today
    Result.objects.bulk_create(
        [
            result(m, at - timedelta(seconds=20), UP),
            result(
                m, at, FAILING, None, error_class="connect_refused", message="The connection was refused", dns_ms=1.25
            ),
        ]
    )
    m.views.update(last_at=at, status=FAILING)
    shown = cast.api(cast.make_auditor()).get(f"/api/v1/monitors/{m.pk}/").json()
    assert shown["uptime"]["1h"] == 50.0 and shown["state_since"] is not None and shown["state_reason"] == ""
    assert shown["last_result"] == {
        "at": shown["last_result"]["at"], "probe": "local", "status": "failing", "dns_ms": 1.25, "connect_ms": None, "tls_ms": None, "first_byte_ms": None, "total_ms": None,
        "loss_percent": None, "http_status": None, "error_class": "connect_refused", "message": "The connection was refused",
    }  # fmt: skip
    assert cast.api(cast.alice()).get(f"/api/v1/monitors/{m.pk}/uptime").json()["1h"] == 50.0


def test_a_heartbeat_shows_where_to_report():
    made = (
        cast.api(cast.alice())
        .post("/api/v1/monitors", {"name": "Backup", "kind": "heartbeat", "config": {"period_seconds": 60}})
        .json()
    )
    assert made["ping_url"] == f"http://localhost:8000/ping/{made['uuid']}" and made["slug"] == "backup"
    assert cast.api(cast.viewer()).get(made["ping_url"].removeprefix("http://localhost:8000")).content == b"OK"


def test_kinds_without_needed_settings_take_none():
    assert cast.api(cast.alice()).post("/api/v1/monitors", {"name": "p", "kind": "push"}).status_code == 201


# --- Mistakes are said at their field, and nothing is stored ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "where", "word"),
    [
        ({"config": {"url": "not a url"}}, "config.url", ""),
        ({"config": {"url": "ftp://x.example/"}}, "config.url", ""),
        ({"config": {}}, "config.url", "required"),
        ({"config": {"url": URL, "nonsense": 1}}, "config.nonsense", ""),
        ({"config": {"url": URL, "keyword": "(", "keyword_mode": "regex"}}, "config", ""),
        ({"config": {"url": URL, "headers": {"Host": "x"}}}, "config.headers", "Host"),
        ({"config": {"url": URL, "accepted_statuses": "2xx"}}, "config.accepted_statuses", ""),
        ({"config": [1]}, "config", ""),
        ({"config": {"url": "http://169.254.169.254/latest"}}, "config.url", ""),
        ({"kind": "telepathy"}, "kind", "http"),
        ({"kind": None}, "kind", ""),
        ({"interval_seconds": 4}, "interval_seconds", "5"),
        ({"interval_seconds": 86401}, "interval_seconds", "86400"),
        ({"interval_seconds": 10**30}, "interval_seconds", ""),
        ({"timeout_seconds": 11}, "timeout_seconds", "interval"),
        ({"timeout_seconds": 0}, "timeout_seconds", ""),
        ({"timeout_seconds": "nan"}, "timeout_seconds", ""),
        ({"confirmation_count": 0}, "confirmation_count", ""),
        ({"degraded_loss_percent": 101}, "degraded_loss_percent", ""),
        ({"quorum": 2}, "quorum", "probes"),
        ({"probes": ["mars"]}, "probes", "mars"),
        ({"probes": []}, "probes", ""),
        ({"tags": ["a,b"]}, "tags", ""),
        ({"name": ""}, "name", ""),
        ({"name": "x" * 121}, "name", ""),
        ({"client": 987654}, "client", ""),
        ({"site": 987654}, "site", ""),
        ({"parent": 987654}, "parent", ""),
        ({"runbook_url": "javascript:alert(1)"}, "runbook_url", ""),
    ],
)
def test_a_mistake_is_said_at_its_field(change, where, word):
    found = fields(cast.api(cast.make_staff()).post("/api/v1/monitors", body(**change)))
    assert where in found and word in found[where][0], found
    assert Monitor.objects.count() == 0


def test_several_mistakes_are_said_at_once():
    found = fields(
        cast.api(cast.make_staff()).post(
            "/api/v1/monitors", body(name="", config={"url": "x"}, interval_seconds="soon")
        )
    )
    assert {"name", "config.url", "interval_seconds"} <= found.keys()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'{"name": "\xff"}', 400),
        (b'{"name": "' + b"x" * 10_000_000 + b'"}', 413),
        (b"{", 400),
        (b"[]", 400),
        (b'"x"', 400),
    ],
)
def test_a_body_that_cannot_be_read_stores_nothing(raw, status):
    answer = cast.api(cast.make_staff()).post("/api/v1/monitors", raw, content_type="application/json")
    assert answer.status_code == status and Monitor.objects.count() == 0


def test_rows_of_another_client_are_refused_at_their_field():
    theirs = cast.site(cast.globex(), "Plant")
    assert "site" in fields(cast.api(cast.make_staff()).post("/api/v1/monitors", body(site=theirs.pk)))
    foreign = fields(cast.api(cast.alice()).post("/api/v1/monitors", body(site=theirs.pk)))
    unknown = fields(cast.api(cast.alice()).post("/api/v1/monitors", body(site=987654)))
    assert foreign["site"][0].replace(str(theirs.pk), "N") == unknown["site"][0].replace("987654", "N")
    group = {"name": "g", "kind": "group", "config": {"monitor_ids": [monitor(cast.globex()).pk]}}
    assert "config.monitor_ids" in fields(cast.api(cast.alice()).post("/api/v1/monitors", group))


def test_a_timeout_that_is_not_given_fits_the_interval():
    made = cast.api(cast.alice()).post(
        "/api/v1/monitors",
        {"name": "x", "kind": "tcp", "config": {"host": "shop.example", "port": 25}, "interval_seconds": 5},
    )
    assert made.status_code == 201, made.content
    assert made.json()["timeout_seconds"] == 5


# --- Who may watch what -----------------------------------------------------------------------------------------------------
def test_staff_may_watch_the_lan_and_clients_may_not():
    lan = {"name": "nas", "kind": "tcp", "config": {"host": "10.1.2.3", "port": 80}}
    assert "config.host" in fields(cast.api(cast.alice()).post("/api/v1/monitors", lan))
    made = cast.api(cast.make_staff()).post("/api/v1/monitors", {**lan, "client": cast.acme().pk})
    assert made.status_code == 201, made.content
    path = f"/api/v1/monitors/{made.json()['id']}"
    assert cast.api(cast.alice()).patch(path, {"name": "NAS", "config": {"host": "10.1.2.3"}}).status_code == 200
    assert "config.host" in fields(cast.api(cast.alice()).patch(path, {"config": {"host": "10.1.2.4"}}))
    assert Monitor.objects.get().trusted


@pytest.mark.parametrize("who", [cast.viewer, cast.approver, cast.make_auditor])
def test_who_may_only_look_changes_nothing(who):
    m, caller = monitor(), cast.api(who())
    path = f"/api/v1/monitors/{m.pk}"
    assert caller.get(path).status_code == 200
    for method, where in (
        ("patch", path),
        ("delete", path),
        ("post", f"{path}/pause"),
        ("post", f"{path}/check"),
        ("post", f"{path}/push"),
    ):
        assert getattr(caller, method)(where, {}).status_code == 403
    assert caller.post("/api/v1/monitors", body()).status_code == 403


def test_foreign_monitors_are_404_everywhere():
    m, caller = monitor(), cast.api(cast.mallory())
    for tail in ("", "/results", "/uptime", "/changes", "/certificates"):
        assert caller.get(f"/api/v1/monitors/{m.pk}{tail}").status_code == 404
    for tail in ("/check", "/pause", "/resume", "/push"):
        assert caller.post(f"/api/v1/monitors/{m.pk}{tail}", {}).status_code == 404
    assert caller.get("/api/v1/monitors").json()["results"] == []


# --- Changing ----------------------------------------------------------------------------------------------------------------
def test_put_and_patch_change_the_given_fields_only():
    made = cast.api(cast.make_staff()).post("/api/v1/monitors", body(config={"url": URL, "method": "HEAD"})).json()
    for method in ("put", "patch"):
        answer = getattr(cast.api(cast.make_staff()), method)(
            f"/api/v1/monitors/{made['id']}", {"config": {"accepted_statuses": "200,401"}}
        )
        assert answer.json()["config"] == {"url": URL, "method": "HEAD", "accepted_statuses": "200,401"}
        assert (answer.json()["tags"], answer.json()["probes"], answer.json()["interval_seconds"]) == (
            made["tags"],
            ["local"],
            10,
        )
    back = (
        cast.api(cast.make_staff())
        .patch(f"/api/v1/monitors/{made['id']}", {"config": {"method": None}, "tags": []})
        .json()
    )
    assert back["config"] == {"url": URL, "accepted_statuses": "200,401"} and back["tags"] == []
    assert "kind" in fields(cast.api(cast.make_staff()).patch(f"/api/v1/monitors/{made['id']}", {"kind": "tcp"}))
    assert "parent" in fields(
        cast.api(cast.make_staff()).patch(f"/api/v1/monitors/{made['id']}", {"parent": made["id"]})
    )


def test_a_body_that_was_read_can_be_sent_back():
    caller = cast.api(cast.make_staff())
    made = caller.post(
        "/api/v1/monitors", body(config={"url": URL, "auth": "basic", "user": "u", "password": "hush"})
    ).json()
    again = caller.put(f"/api/v1/monitors/{made['id']}", made)
    assert again.status_code == 200, again.content
    assert again.json()["config"] == made["config"] and Monitor.objects.get().secrets.open() == {"password": "hush"}


def test_a_schedule_takes_the_place_of_a_period():
    caller = cast.api(cast.alice())
    made = caller.post(
        "/api/v1/monitors", {"name": "Backup", "kind": "heartbeat", "config": {"period_seconds": 60}}
    ).json()
    changed = caller.patch(
        f"/api/v1/monitors/{made['id']}", {"config": {"schedule": "30 2 * * *", "timezone": "Europe/Vienna"}}
    )
    assert changed.json()["config"] == {"schedule": "30 2 * * *", "timezone": "Europe/Vienna"}


def test_secrets_go_in_are_masked_kept_and_removed():
    caller = cast.api(cast.make_staff())
    config = {
        "url": URL,
        "auth": {"type": "basic", "username": "u", "password": "hush"},
        "headers": {"X-Key": "hush2", "X-Other": "hush3"},
    }
    made = caller.post("/api/v1/monitors", body(config=config)).json()
    assert made["has_secret"] is True
    assert made["config"] == {
        "url": URL,
        "auth": "basic",
        "user": "u",
        "password": MASK,
        "headers": {"X-Key": MASK, "X-Other": MASK},
    }
    path = f"/api/v1/monitors/{made['id']}"
    caller.patch(path, {"config": {"password": MASK, "headers": {"X-Key": MASK, "X-New": "n"}}})
    assert Monitor.objects.get().secrets.open() == {"password": "hush", "headers": {"X-Key": "hush2", "X-New": "n"}}
    assert (
        "hush"
        not in str(Monitor.objects.values())
        + str(list(AuditEntry.objects.values()))
        + caller.get(path).content.decode()
        + caller.get("/api/v1/monitors").content.decode()
    )
    gone = caller.patch(path, {"config": {"auth": "none", "password": "", "headers": {}}}).json()
    assert gone["has_secret"] is False and Monitor.objects.get().secrets.open() == {}


def test_a_deleted_monitor_is_gone():
    m = monitor()
    assert cast.api(cast.alice()).delete(f"/api/v1/monitors/{m.pk}").status_code == 204
    assert not Monitor.objects.exists() and AuditEntry.objects.filter(action="monitor.delete").exists()


def test_a_list_is_made_whole_or_not_at_all():
    caller = cast.api(cast.make_staff())
    assert list(fields(caller.post("/api/v1/monitors", [body(), body(name="two", config={"url": "x"})]))) == [
        "1.config.url"
    ]
    assert (
        "1.quorum" in fields(caller.post("/api/v1/monitors", [body(), body(name="two", quorum=3)]))
        and Monitor.objects.count() == 0
    )
    made = caller.post("/api/v1/monitors", [body(), body(name="two")])
    assert made.status_code == 201 and [m["name"] for m in made.json()] == ["shop", "two"]


# --- Acting -----------------------------------------------------------------------------------------------------------------
def test_pause_resume_and_check():
    m, caller = monitor(), cast.api(cast.alice())
    path = f"/api/v1/monitors/{m.pk}"
    m.views.update(next_due_at=database_now() + timedelta(hours=1))
    assert caller.post(f"{path}/check").status_code == 202 and m.views.get().next_due_at <= database_now()
    assert caller.post(f"{path}/pause").json()["state"] == "paused"
    assert caller.post(f"{path}/pause/").status_code == 409 and caller.post(f"{path}/check").status_code == 409
    assert caller.post(f"{path}/resume").json()["state"] == "pending"
    assert caller.post(f"{path}/resume").status_code == 409
    assert caller.patch(path, {"enabled": False}).json()["state"] == "paused"
    assert [c["to"] for c in caller.get(f"{path}/changes").json()["results"]] == ["paused", "pending", "paused"]


def test_a_pushed_result_is_taken_and_a_bad_one_refused():
    m, caller = monitor(kind="push"), cast.api(cast.alice())
    path = f"/api/v1/monitors/{m.pk}/push"
    assert caller.post(path, {"status": "degraded", "message": "slow", "latency_ms": 812.5}).status_code == 202
    assert m.views.get().facts["status"] == "degraded" and m.views.get().next_due_at <= database_now()
    assert "status" in fields(caller.post(path, {"status": "fine"})) and "latency_ms" in fields(
        caller.post(path, {"status": "up", "latency_ms": "fast"})
    )
    assert caller.post(f"/api/v1/monitors/{monitor(name='other').pk}/push", {"status": "up"}).status_code == 409


# --- Reading -----------------------------------------------------------------------------------------------------------------
def test_results_are_read_by_time_and_probe_page_by_page(today):
    far = probe("frankfurt")
    m, at = monitor(probes=[probe(), far]), today
    Result.objects.bulk_create(
        [result(m, at - timedelta(seconds=n), by=by) for n in range(10) for by in (probe(), far)]
    )
    caller = cast.api(cast.viewer())
    path, seen = f"/api/v1/monitors/{m.pk}/results?limit=7", []
    while path:
        page = caller.get(path).json()
        seen += [(r["at"], r["probe"]) for r in page["results"]]
        path = page["next"]
    assert len(seen) == len(set(seen)) == 20 and [t for t, _ in seen] == sorted((t for t, _ in seen), reverse=True)
    since = (at - timedelta(seconds=3)).isoformat()
    for text in (since.replace("+00:00", "Z"), since, since.replace("+", "%2B")):
        assert len(caller.get(f"/api/v1/monitors/{m.pk}/results?probe=frankfurt&since={text}").json()["results"]) == 4
    assert (
        len(caller.get(f"/api/v1/monitors/{m.pk}/results?until={since.replace('+00:00', 'Z')}").json()["results"]) == 12
    )
    assert "since" in fields(caller.get(f"/api/v1/monitors/{m.pk}/results?since=yesterday"))
    assert caller.get(f"/api/v1/monitors/{m.pk}/results?probe=mars").json()["results"] == []


def test_certificates_and_changes_are_listed():
    m, at = monitor(), database_now()
    Certificate.objects.create(
        monitor=m, fingerprint="ab", subject="CN=x", issuer="CN=ca", not_after=at, first_seen_at=at, last_seen_at=at
    )
    StateChange.objects.create(
        monitor=m, version=1, at=at, from_state="pending", to_state="down", reason="Answered 500", first_failure_at=at
    )
    caller = cast.api(cast.viewer())
    assert caller.get(f"/api/v1/monitors/{m.pk}/certificates").json()["results"][0]["fingerprint"] == "ab"
    change = caller.get(f"/api/v1/monitors/{m.pk}/changes").json()["results"][0]
    assert (change["from"], change["to"], change["reason"]) == ("pending", "down", "Answered 500")


def test_lists_are_filtered():
    shop = monitor(site=cast.site(), service=cast.service(), tags=["prod", "eu"])
    monitor(cast.globex(), name="plant", kind="push", tags=["prod"])
    services.pause(
        monitor(name="old", kind="tcp", config={"host": "legacy.example", "port": 25}), by=cast.TESTS, at=database_now()
    )
    caller = cast.api(cast.make_staff())
    expected = {
        f"client={cast.acme().pk}": {"shop", "old"}, f"site={shop.site_id}": {"shop"}, f"service={shop.service_id}": {"shop"}, "kind=push,tcp": {"plant", "old"},
        "state=paused": {"old"}, "tag=PROD": {"shop", "plant"}, "tag=eu,nothing": {"shop"}, "search=SHO": {"shop"}, "search=legacy": {"old"}, "enabled=false": {"old"},
        "probe=local": {"shop", "plant", "old"}, "client=987654": set(), "tag=prod&kind=http": {"shop"},
    }  # fmt: skip
    for query, names in expected.items():
        assert {r["name"] for r in caller.get(f"/api/v1/monitors?{query}").json()["results"]} == names, query
    for query in ("state=sleepy", "kind=telepathy", "client=x", "client=1e400", "client=9" + "9" * 40, "limit=0"):
        assert query.partition("=")[0] in fields(caller.get(f"/api/v1/monitors?{query}")), query


def test_a_list_costs_the_same_for_3_and_30_monitors(django_assert_max_num_queries):
    for number in range(30):
        monitor(name=f"m{number}", config={"url": URL, "auth": "basic", "user": "u", "password": "p"}, tags=["prod"])
    caller = cast.api(cast.make_staff())
    caller.get("/api/v1/monitors")
    for limit in (3, 30):
        with django_assert_max_num_queries(17):
            assert len(caller.get(f"/api/v1/monitors?limit={limit}").json()["results"]) == limit


# --- Probes -----------------------------------------------------------------------------------------------------------------
def test_probes_are_read_by_all_and_made_by_staff():
    at = database_now()
    Probe.objects.filter(slug="local").update(last_seen_at=at)
    private = probe("acme-lan", client=cast.acme(), last_seen_at=at - timedelta(minutes=5), anchors=["1.1.1.1:443"])
    seen = {p["slug"]: p for p in cast.api(cast.viewer()).get("/api/v1/probes").json()["results"]}
    assert (seen["local"]["health"], seen["acme-lan"]["health"], seen["local"]["blind"]) == (
        "ok",
        "silent",
        False,
    ) and "anchors" not in seen["local"]
    assert {"last_seen_at", "version", "clock_offset_ms"} <= seen["local"].keys()
    assert [p["slug"] for p in cast.api(cast.mallory()).get("/api/v1/probes").json()["results"]] == ["local"]
    staff = cast.api(cast.make_staff())
    made = staff.post("/api/v1/probes", {"name": "Frankfurt 1", "client": None, "network": "AS3320"})
    assert made.status_code == 201 and made.json()["slug"] == "frankfurt-1" and made.json()["health"] == "never_seen"
    assert (
        staff.patch(
            f"/api/v1/probes/{made.json()['id']}", {"enabled": False, "anchors": ["https://example.com", "1.1.1.1:53"]}
        ).json()["health"]
        == "disabled"
    )
    assert "slug" in fields(staff.post("/api/v1/probes", {"name": "Frankfurt 1"})) and "slug" in fields(
        staff.post("/api/v1/probes", {"name": "x", "slug": "local"})
    )
    assert "anchors.0" in fields(staff.post("/api/v1/probes", {"name": "y", "anchors": ["no port"]}))
    alice = cast.api(cast.alice())
    assert alice.post("/api/v1/probes", {"name": "mine", "client": cast.acme().pk}).status_code == 403
    assert alice.patch(f"/api/v1/probes/{private.pk}", {"name": "mine"}).status_code == 403
    assert alice.patch(f"/api/v1/probes/{Probe.objects.get(slug='local').pk}", {"name": "mine"}).status_code == 403
    assert cast.api(cast.mallory()).patch(f"/api/v1/probes/{private.pk}", {"name": "mine"}).status_code == 404
    assert staff.delete(f"/api/v1/probes/{private.pk}").status_code == 204


def test_a_private_probe_watches_for_its_client_only():
    probe("acme-lan", client=cast.acme())
    assert (
        cast.api(cast.alice()).post("/api/v1/monitors", body(probes=["local", "acme-lan"], quorum=2)).status_code == 201
    )
    refused = fields(
        cast.api(cast.mallory()).post("/api/v1/monitors", {"name": "x", "kind": "push", "probes": ["acme-lan"]})
    )
    assert refused["probes"][0] == "No such probe: acme-lan; there are local."
