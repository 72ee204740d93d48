"""Does the API ever break? Every documented operation is sent what its own documentation allows, and what it forbids."""

from __future__ import annotations

import os

import hypothesis
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from schemathesis.generation import GenerationMode

from portal.models.people import SCOPES
from tests import cast

EXAMPLES = int(os.environ.get("EXAMPLES", "1"))  # of each kind, for each operation


@pytest.fixture
def a_little_of_everything(db):
    """Rows for ids to hit; the test's connection stays open between the requests of one test, as Django's own client keeps it."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    cast.monitor(), cast.alert(), cast.channel(), cast.trigger(), cast.window(), cast.delivery()
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.once
@pytest.mark.alone
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_no_operation_breaks(a_little_of_everything, mode):
    """Nobody gets a 5xx, whatever is asked."""
    from portal.wsgi import application

    token = cast.token(cast.make_owner(), *SCOPES)
    schema = schemathesis.openapi.from_wsgi("/api/schema", application)
    broken: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()

        @hypothesis.settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize="SEED" not in os.environ,
            suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate],
        )  # fmt: skip
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def send(case):
            with transaction.atomic():
                answer = case.call(headers={"Authorization": f"Bearer {token}"})
                transaction.set_rollback(True)
            if answer.status_code >= 500:
                broken.append(
                    f"{answer.status_code} {case.method} {case.formatted_path} {case.query} {case.body!r}"[:600]
                )

        try:
            send()
        except hypothesis.errors.Unsatisfiable:
            continue  # nothing can be forbidden to what takes nothing
    assert not broken, "\n".join(broken)
