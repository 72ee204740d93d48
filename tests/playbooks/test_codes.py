"""A code by a second channel: sent to the approver's own telephone, typed by hand at the link that came by mail, good once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client as Browser

from alerts.models import Channel
from playbooks import codes
from playbooks.models import Run
from portal import providers
from portal.errors import Refused
from portal.models import OneTimeLink, ProviderSettings, User
from tests import cast
from tests.alerts.vendors import twilio_sms
from tests.alerts.vendors.desk import at_work
from tests.console.visiting import text
from tests.playbooks.acting import sent_back
from tests.playbooks.test_approving import path_of, waits_for
from tests.portal import an_app
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def twilio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The installation's account with a vendor of text messages."""
    given = twilio_sms.provider()
    secrets = {"auth_token": given.pop("auth_token")}
    providers.create(by=cast.TESTS, provider="twilio", config=given, secrets=secrets)
    with at_work(twilio_sms.VENDOR, monkeypatch) as server:
        yield server


def reached(person: User, **values: Any) -> Channel:
    """This person's telephone, as one of Acme's contacts."""
    contact = cast.contact(name="April")
    type(contact).objects.filter(pk=contact.pk).update(user=person)
    channel = Channel.objects.create(
        client=cast.acme(), contact=contact, name="April's phone", type="twilio_sms", config={"to": twilio_sms.NUMBER}, **values
    )  # fmt: skip
    contact.ways.create(channel=channel)
    return channel


def asked() -> tuple[User, Run]:
    """April, who has a password and a telephone, is asked."""
    april = cast.approver()
    reached(april)
    return april, waits_for(april)[1]


def texts(twilio: Receiver) -> list[str]:
    """What arrived on telephones."""
    return [twilio_sms.one(call)["Body"] for call in twilio.calls]


def code_in(message: str) -> str:
    return re.search(r"\b\d{6}\b", message)[0]


def state_of(run: Run) -> str:
    run.refresh_from_db()
    return run.state


def test_asked_for_at_the_link_it_comes_by_telephone_and_decides_when_typed(twilio):
    april, run = asked()
    window, where = Browser(enforce_csrf_checks=True), path_of(run, april)
    page = window.get(where)
    assert "Send a code to +351…78" in text(page) and twilio_sms.NUMBER not in text(page)
    token = sent_back(page, "csrfmiddlewaretoken")
    assert window.post(where, {**token, "word": "send-code"}).status_code == 302
    (message,) = texts(twilio)
    assert str(run) in message and "http" not in message, "there is nothing to press in it"
    form = sent_back(window.get(where), "plan_hash")
    window.post(where, {**form, "word": "approve", "code": code_in(message)})
    assert state_of(run) == "approved" and run.approvals.get().how == "code"
    again = window.post(where, {**form, "word": "approve", "code": code_in(message)})
    assert again.status_code == 409 and run.approvals.count() == 1


def test_looking_sends_nothing_and_pressing_often_sends_one(twilio, monkeypatch):
    monkeypatch.setattr(codes, "PAUSE", timedelta(hours=1))  # however slow this machine is
    april, run = asked()
    for method in ("get", "head", "options"):
        getattr(Browser(), method)(path_of(run, april))
    assert twilio.calls == []
    for _ in range(4):
        Browser().post(path_of(run, april), {"word": "send-code"})
    assert len(twilio.calls) == 1


def test_five_wrong_ones_use_it_up(twilio):
    april, run = asked()
    codes.send(run, april, run.created_at)
    right = code_in(texts(twilio)[0])
    wrong = f"{(int(right) + 1) % 10**6:06d}"
    for expected in [codes.WRONG] * 4 + [codes.NONE_LEFT] * 2:
        with pytest.raises(Refused, match=re.escape(expected)):
            codes.by_telephone(run, april, wrong, run.created_at)
    with pytest.raises(Refused, match=re.escape(codes.NONE_LEFT)):
        codes.by_telephone(run, april, right, run.created_at)


def test_it_is_good_for_ten_minutes_and_the_newest_alone(twilio):
    april, run = asked()
    at = run.created_at
    codes.send(run, april, at)
    with pytest.raises(Refused, match="No code is good"):
        codes.by_telephone(run, april, code_in(texts(twilio)[0]), at + codes.LIFE)
    codes.send(run, april, at + codes.LIFE)
    codes.send(run, april, at + codes.LIFE + timedelta(minutes=2))
    _, second, third = map(code_in, texts(twilio))
    if second != third:
        with pytest.raises(Refused, match="not the code that was sent"):
            codes.by_telephone(run, april, second, at + codes.LIFE + timedelta(minutes=3))
    assert codes.by_telephone(run, april, third, at + codes.LIFE + timedelta(minutes=3)) == "code"
    with pytest.raises(Refused, match="Three codes were sent"):
        codes.send(run, april, at + timedelta(hours=1))


def test_it_opens_no_other_plan_and_no_other_person(twilio):
    april, run = asked()
    codes.send(run, april, run.created_at)
    code = code_in(texts(twilio)[0])
    with pytest.raises(Refused, match="No code is good"):
        codes.by_telephone(run, cast.alice(), code, run.created_at)
    run.plan_hash = "0" * 64
    with pytest.raises(Refused, match="not the code that was sent"):
        codes.by_telephone(run, april, code, run.created_at)


def test_what_is_stored_tells_nobody_the_code(twilio, tmp_path):
    april, run = asked()
    codes.send(run, april, run.created_at)
    call_command("dumpdata", "portal", "alerts", "playbooks", output=str(tmp_path / "all.json"), verbosity=0)
    stored = re.sub(r"[0-9a-f]{8,}|\d{7,}|\.\d{6}|\d{6}Z", "", (tmp_path / "all.json").read_text())
    assert code_in(texts(twilio)[0]) not in stored
    assert len(OneTimeLink.objects.get(purpose=codes.PURPOSE).hash) == 64


@pytest.mark.parametrize("why", ["a second step", "a number of another client's", "a chat", "switched off"])
def test_it_is_not_offered_to_who_has(why, twilio):
    """The stronger proof is not traded for a weaker one; and a number has to be theirs alone."""
    april, run = asked()
    if why == "a second step":
        an_app.give_app(april)
    elif why == "switched off":
        Channel.objects.update(enabled=False)
    elif why == "a chat":
        Channel.objects.update(type="telegram")
    else:
        april.contacts.update(client=cast.globex())
    page = text(Browser().get(path_of(run, april)))
    assert "Send a code" not in page
    Browser().post(path_of(run, april), {"word": "send-code"})
    assert twilio.calls == [] and state_of(run) == "awaiting_approval"


@pytest.mark.parametrize("why", ["the vendor refuses", "the number is none"])
def test_one_that_cannot_be_sent_is_said_and_leaves_no_code(why, twilio):
    april, run = asked()
    if why == "the vendor refuses":
        ProviderSettings.objects.get().delete()
        providers.create(by=cast.TESTS, provider="twilio", config={**twilio_sms.provider(), "auth_token": ""}, secrets={"auth_token": "not-this-one"})  # fmt: skip
    else:
        Channel.objects.update(config={"to": "+1"})
    answer = Browser().post(path_of(run, april), {"word": "send-code"})
    assert answer.status_code == 403 and "The code could not be sent." in text(answer)
    assert not codes.pending(run, april, run.created_at)
