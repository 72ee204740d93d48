"""The API's ground rules: who is let in, what errors look like, how lists are read and writes repeated."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import time_machine
from django.core.cache import cache
from rest_framework.test import APIClient

from portal.models import IdempotencyKey, Site, Token
from tests import cast

pytestmark = pytest.mark.django_db


# --- Who is let in ---------------------------------------------------------------------------------------------------
def test_without_a_token_the_answer_is_401_and_says_how():
    answer = APIClient().get("/api/v1/sites/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["error"]["code"] == "not_authenticated"


@pytest.mark.parametrize(
    "bad", ["wk_00000000_" + "a" * 43, "wk_", "nonsense", "", "wk_0000000é_x", "wk_00000000_" + "a" * 5000]
)
def test_a_bad_token_is_401_even_with_a_session(bad):
    caller = APIClient()
    caller.force_login(cast.make_owner())
    answer = caller.get("/api/v1/sites", HTTP_AUTHORIZATION=f"Bearer {bad}".encode().decode("latin-1"))
    assert answer.status_code == 401


def test_a_token_ends_by_expiry_revocation_or_with_its_person():
    owner = cast.make_owner()
    plain = cast.token(owner)
    row = Token.objects.get()
    caller = APIClient()
    caller.credentials(HTTP_AUTHORIZATION=f"bearer {plain}")
    assert caller.get("/api/v1/sites").status_code == 200
    Token.objects.update(expires_at=row.created_at)
    assert caller.get("/api/v1/sites").status_code == 401
    Token.objects.update(expires_at=None, revoked_at=row.created_at)
    assert caller.get("/api/v1/sites").status_code == 401
    Token.objects.update(revoked_at=None)
    owner.is_active = False
    owner.save()
    assert caller.get("/api/v1/sites").status_code == 401


def test_the_secret_part_counts_and_only_its_hash_is_kept():
    plain = cast.token(cast.make_owner())
    row = Token.objects.get()
    assert plain not in str(row.__dict__) and plain.split("_", 2)[2] not in str(row.__dict__)
    caller = APIClient()
    caller.credentials(HTTP_AUTHORIZATION=f"Bearer {plain[:-1]}{'A' if plain[-1] != 'A' else 'B'}")
    assert caller.get("/api/v1/sites").status_code == 401


def test_last_use_is_noted_once_a_minute(django_assert_num_queries):
    caller = cast.api(cast.make_owner())
    caller.get("/api/v1/sites")
    first = Token.objects.get().last_used_at
    assert first is not None
    caller.get("/api/v1/sites")
    assert Token.objects.get().last_used_at == first
    Token.objects.update(last_used_at=first - dt.timedelta(seconds=61))
    caller.get("/api/v1/sites")
    assert Token.objects.get().last_used_at > first - dt.timedelta(seconds=61)


def test_a_session_reads_and_its_writes_need_the_csrf_token():
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(cast.make_staff())
    assert browser.get("/api/v1/sites").status_code == 200
    answer = browser.post("/api/v1/sites", {"client": cast.acme().pk, "name": "X"})
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["error"]["message"]


def test_scopes_read_and_write_are_apart():
    acme = cast.acme()
    reader = cast.api(cast.make_staff(), "read")
    assert reader.get("/api/v1/sites").status_code == 200
    refused = reader.post("/api/v1/sites", {"client": acme.pk, "name": "X"})
    assert refused.status_code == 403 and "write" in refused.json()["error"]["message"]
    assert cast.api(cast.make_staff(), "ping").get("/api/v1/sites").status_code == 403
    assert (
        cast.api(cast.make_staff(), "write").post("/api/v1/sites", {"client": acme.pk, "name": "X"}).status_code == 201
    )


# --- What errors look like -------------------------------------------------------------------------------------------
def test_routes_answer_with_and_without_a_final_slash():
    caller, site = cast.api(cast.make_staff()), cast.site()
    for path in (
        "/api/v1/sites",
        "/api/v1/sites/",
        f"/api/v1/sites/{site.pk}",
        f"/api/v1/sites/{site.pk}/",
        "/api/schema",
        "/api/schema/",
        "/api/docs",
        "/api/docs/",
    ):
        assert caller.get(path).status_code == 200, path


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b'{"name": ', 400, "JSON"),
        (b'{"name": "\xff"}', 400, "UTF-8"),
        (b'{"name": NaN}', 400, "JSON"),
        (b'{"name": "a\\u0000b"}', 400, "NUL"),
        (b'{"name": "\\ud800"}', 400, "surrogate"),
        (b"[" * 100_000, 400, "nested"),
        (b"[]", 400, "dictionary"),
        (b'"text"', 400, "dictionary"),
        (b'{"name": "' + b"x" * 3_000_000 + b'"}', 413, "2 MB"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_clean_answer(body, status, word):
    answer = cast.api(cast.make_staff()).post("/api/v1/sites", body, content_type="application/json")
    assert answer.status_code == status
    assert word in answer.json()["error"]["message"]
    assert Site.objects.count() == 0


def test_an_escaped_backslash_is_not_a_nul():
    answer = cast.api(cast.make_staff()).post(
        "/api/v1/sites", json.dumps({"client": cast.acme().pk, "name": "a\\u0000 ☂"}), content_type="application/json"
    )
    assert answer.status_code == 201 and answer.json()["name"] == "a\\u0000 ☂"


def test_another_content_type_is_415_and_a_wrong_method_405():
    caller = cast.api(cast.make_staff())
    assert caller.post("/api/v1/sites", "a=b", content_type="text/plain").status_code == 415
    answer = caller.put("/api/v1/sites", {})
    assert answer.status_code == 405 and answer.json()["error"]["code"] == "method_not_allowed"


def test_an_unknown_address_below_api_is_json():
    answer = APIClient().get("/api/v1/nothing")
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found"


def test_errors_name_the_fields():
    answer = cast.api(cast.make_staff()).post(
        "/api/v1/sites", {"client": 999999, "name": "", "timezone": "Mars/Base", "tags": ["a,b"]}
    )
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["code"] == "invalid"
    assert set(error["fields"]) == {"client", "name", "timezone", "tags"}


# --- How lists are read ----------------------------------------------------------------------------------------------
def test_a_list_is_read_to_its_end_while_rows_come():
    acme, caller = cast.acme(), cast.api(cast.make_staff())
    for number in range(7):
        cast.site(acme, f"Site {number}")
    names, answer = [], caller.get("/api/v1/sites?limit=3").json()
    assert set(answer) == {"results", "next", "previous"} and answer["previous"] is None
    while True:
        names += [row["name"] for row in answer["results"]]
        cast.site(acme, f"Newer {len(names)}")
        if answer["next"] is None:
            break
        answer = caller.get(answer["next"]).json()
    assert names == [f"Site {n}" for n in reversed(range(7))]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=abc", "limit=1.5", "cursor=nonsense", "cursor=cD1hYmM%3D"]
)
def test_a_bad_limit_or_cursor_is_400(query):
    cast.site()
    answer = cast.api(cast.make_staff()).get(f"/api/v1/sites?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"]["fields"]


def test_a_limit_above_500_is_500():
    assert cast.api(cast.make_staff()).get("/api/v1/sites?limit=100000").status_code == 200


def test_lists_cost_the_same_for_3_and_30_rows(django_assert_max_num_queries):
    caller = cast.api(cast.make_staff())
    for number in range(30):
        cast.site(cast.acme(), f"Site {number}")
    caller.get("/api/v1/sites")
    with django_assert_max_num_queries(5):
        assert len(caller.get("/api/v1/sites").json()["results"]) == 30


# --- How writes are repeated -----------------------------------------------------------------------------------------
def test_the_same_key_and_body_gives_the_first_answer_again():
    caller, body = cast.api(cast.make_staff()), {"client": cast.acme().pk, "name": "Once"}
    first = caller.post("/api/v1/sites", body, HTTP_IDEMPOTENCY_KEY="abc")
    second = caller.post("/api/v1/sites", body, HTTP_IDEMPOTENCY_KEY="abc")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json() and second["Idempotent-Replayed"] == "true"
    assert Site.objects.count() == 1


def test_the_same_key_for_another_body_is_422_and_a_running_one_409():
    caller, body = cast.api(cast.make_staff()), {"client": cast.acme().pk, "name": "Once"}
    caller.post("/api/v1/sites", body, HTTP_IDEMPOTENCY_KEY="abc")
    assert caller.post("/api/v1/sites", {**body, "name": "Twice"}, HTTP_IDEMPOTENCY_KEY="abc").status_code == 422
    IdempotencyKey.objects.update(status=None, response=None)
    running = caller.post("/api/v1/sites", body, HTTP_IDEMPOTENCY_KEY="abc")
    assert running.status_code == 409 and "running" in running.json()["error"]["message"]


def test_a_refused_request_may_be_repeated_with_its_key():
    caller = cast.api(cast.make_staff())
    assert caller.post("/api/v1/sites", {"name": ""}, HTTP_IDEMPOTENCY_KEY="k").status_code == 400
    assert IdempotencyKey.objects.count() == 0


def test_a_key_belongs_to_its_token_and_a_kept_answer_shows_no_secret():
    body = {"name": "ci", "scopes": ["read"]}
    first = cast.api(cast.make_owner()).post("/api/v1/tokens", body, HTTP_IDEMPOTENCY_KEY="k")
    assert first.status_code == 201
    assert first.json()["token"] not in str(IdempotencyKey.objects.get().response)
    assert (
        cast.api(cast.make_staff()).post("/api/v1/tokens", body, HTTP_IDEMPOTENCY_KEY="k").json()["token"]
        != first.json()["token"]
    )


# --- How much may be asked -------------------------------------------------------------------------------------------
@pytest.fixture
def two_a_minute(monkeypatch):
    from portal.api import throttling

    monkeypatch.setattr(throttling.api_settings, "DEFAULT_THROTTLE_RATES", {"token": "2/min"}, raising=False)
    cache.clear()


def test_too_many_requests_are_429_with_a_time_to_wait(two_a_minute):
    caller = cast.api(cast.make_staff())
    with time_machine.travel("2026-03-01 12:00:10+00:00", tick=False):
        assert [caller.get("/api/v1/sites").status_code for _ in range(3)] == [200, 200, 429]
        answer = caller.get("/api/v1/sites")
        assert answer["Retry-After"] == "50" and answer.json()["error"]["code"] == "throttled"
        assert cast.api(cast.make_staff()).get("/api/v1/sites").status_code == 200  # another token
    with time_machine.travel("2026-03-01 12:01:01+00:00", tick=False):
        assert caller.get("/api/v1/sites").status_code == 200


def test_without_a_cache_nobody_is_refused(two_a_minute, monkeypatch):
    from portal.api import throttling

    class Away:
        def __getattr__(self, name):
            raise ConnectionError("no cache here")

    monkeypatch.setattr(throttling, "cache", Away())
    caller = cast.api(cast.make_staff())
    assert [caller.get("/api/v1/sites").status_code for _ in range(5)] == [200] * 5
