"""Is a runbook called once, so that it can be believed, and is its silence not taken for an answer?"""

from __future__ import annotations

from typing import Any

import pytest
from standardwebhooks import Webhook as Oracle

from playbooks.steps.base import NotDone, Unsure
from tests.playbooks.steps import scene
from tests.rig import answers
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.django_db
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def call(url: str, **given: Any) -> Any:
    of, step = scene.run(), scene.made("webhook", url=url, **given)
    return step.do(scene.context(of, "webhook"))


def test_the_call_says_what_it_is_about_and_is_signed(receiver: Receiver) -> None:
    receiver.behave("/failover", answers.ok("moved"))
    of = scene.run()
    step = scene.made("webhook", url=receiver.url("/failover"), secret=SECRET, authorization="Bearer letmein-letmein", headers={"X-Team": "net"})  # fmt: skip
    done = step.do(scene.context(of, "webhook"))
    (heard,) = receiver.calls
    said = heard.json()
    assert Oracle(SECRET).verify(heard.body, dict(heard.headers)) == said
    assert said["run"]["id"] == of.pk and said["run"]["step"] == 2 and said["plan_hash"] == scene.PLAN_HASH
    assert (
        said["playbook"]["name"] == "Fail over"
        and said["client"]["name"] == "Acme"
        and said["monitor"]["name"] == "shop"
    )
    assert (
        said["idempotency_key"] == heard.headers["idempotency-key"] == heard.headers["webhook-id"] == f"run-{of.pk}-2"
    )
    assert heard.headers["authorization"] == "Bearer letmein-letmein" and heard.headers["x-team"] == "net"
    assert (done.output, done.after) == ("moved", {"status": 200})


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        (answers.status(404, "no such runbook"), NotDone, "HTTP 404: no such runbook"),
        (answers.status(409, "already running"), NotDone, "HTTP 409"),
        (answers.redirect("http://127.0.0.1:9/"), NotDone, "Redirects are not followed"),
        (answers.status(500, "oops"), Unsure, "HTTP 500: oops. That does not say whether it was done"),
        (answers.status(503), Unsure, "HTTP 503"),
        (answers.accept_then_cut(), Unsure, "went out and was not answered"),
        (answers.connection_reset(), Unsure, "went out and was not answered"),
    ],
)  # fmt: skip
def test_every_answer_is_told_as_what_it_is_and_nothing_is_repeated(receiver: Receiver, answer: Any, error: type[Exception], sentence: str) -> None:  # fmt: skip
    receiver.behave("/x", answer)
    with pytest.raises(error, match=sentence):
        call(receiver.url("/x"))
    assert len(receiver.calls) == 1


def test_no_answer_in_time_is_unknown(receiver: Receiver) -> None:
    receiver.behave("/x", answers.hang())
    with pytest.raises(Unsure, match="was not answered"):
        call(receiver.url("/x"), timeout_seconds=1)


def test_a_server_that_is_not_there_is_known(receiver: Receiver) -> None:
    receiver.refuse()
    with pytest.raises(NotDone, match="could not be made. The connection was refused"):
        call(receiver.url("/x"))


def test_a_forbidden_address_is_never_called() -> None:
    with pytest.raises(NotDone, match="Blocked"):
        call("http://169.254.169.254/latest")


@pytest.mark.parametrize(("accepted", "error"), [("202", None), ("200", Unsure)])
def test_what_counts_as_done_is_said_in_its_settings(receiver: Receiver, accepted: str, error: type[Exception] | None) -> None:  # fmt: skip
    receiver.behave("/x", answers.status(202))
    if error is None:
        assert call(receiver.url("/x"), accepted_statuses=accepted).after == {"status": 202}
    else:
        with pytest.raises(error, match="HTTP 202"):
            call(receiver.url("/x"), accepted_statuses=accepted)


def test_secrets_do_not_come_back_in_its_output(receiver: Receiver) -> None:
    receiver.behave("/x", answers.status(400, "you sent Bearer letmein-letmein\x00"))
    with pytest.raises(NotDone) as refusal:
        call(receiver.url("/x"), authorization="Bearer letmein-letmein")
    assert "letmein" not in str(refusal.value) + refusal.value.output and "\x00" not in refusal.value.output


def test_its_target_is_the_address_and_never_a_secret_in_it() -> None:
    plain = scene.made("webhook", url="https://Runbooks.example.com/failover")
    assert plain.target() == "url:https://runbooks.example.com/failover"
    secret = scene.made("webhook", url="https://runbooks.example.com/x?key=s3cret-s3cret")
    assert secret.target() == "url:https://runbooks.example.com/…" and "s3cret" not in secret.sentence()
