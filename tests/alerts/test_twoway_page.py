"""Can somebody with only a message take it, and can no mail scanner? GET shows, POST acts, nothing is chosen beforehand."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser

from alerts import acts, links, services
from alerts.models import Alert, Channel, Delivery
from alerts.sender import prepare
from portal.clock import database_now
from portal.models import AuditEntry
from tests import cast
from tests.alerts import stage

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def installation() -> None:
    cast.make_owner()


def told(contact: bool = True, monitor: int = 7) -> Delivery:
    """A mail about an alert, to Ana or to a channel without a person."""
    owner = cast.contact() if contact else None
    where = Channel.objects.create(
        client=cast.acme(), contact=owner, name=f"mail {monitor}", type="email", config={"to": ["ana@acme.example"]}
    )
    services.save_trigger(None, by=cast.TESTS, name=f"to {where.pk}", channels=[where])
    (alert,) = stage.tell(
        stage.failing(monitor, database_now(), title=f"shop {monitor} is down", message="connection refused")
    )
    return Delivery.objects.select_related("alert").get(alert=alert, channel=where)


def path(row: Delivery) -> str:
    return f"/a/{links.token(row.pk)}/"


def body(answer: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def status_of(row: Delivery) -> str:
    return Alert.objects.get(pk=row.alert_id).status


def state(answer: Any) -> str:
    found = re.search(r'data-state="(\w+)"', answer.content.decode())
    return found[1] if found else ""


def visitor() -> Browser:
    """A browser that has opened nothing yet; CSRF is checked as in life."""
    return Browser(enforce_csrf_checks=True)


def submit(browser: Browser, where: str, **fields: str) -> Any:
    """Open the page, then send its form."""
    browser.get(where)
    return browser.post(where, {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value, **fields})


# --- Looking ---------------------------------------------------------------------------------------------------------------
def test_messages_carry_the_link_of_their_own_delivery() -> None:
    row = told()
    Channel.objects.filter(pk=row.channel_id).update(type="webhook", config={"url": "https://hooks.acme.example/x"})
    ((_, _, message),) = prepare(
        [Delivery.objects.select_related("alert", "channel", "notice").get(pk=row.pk)], database_now()
    )
    assert message is not None and message.link("acknowledge") == links.acknowledge_url(row.pk)
    assert message.link("open").endswith(f"/alerts/{row.alert_id}/")


def test_looking_shows_everything_and_changes_nothing() -> None:
    row = told()
    for method in ("get", "head"):
        answer = getattr(visitor(), method)(path(row))
        assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
    seen = body(visitor().get(path(row)))
    for word in ("shop 7 is down", "connection refused", "Acme", "nobody has it yet", "I am Ana, I take it"):
        assert word in seen
    assert status_of(row) == "open"


def test_it_needs_no_script_and_nothing_is_chosen_beforehand() -> None:
    page = visitor().get(path(told())).content.decode()
    radios = re.findall(r"<input type=\"radio\"[^>]*>", page)
    assert len(radios) == 3 and all("required" in r and "checked" not in r for r in radios)
    assert 'value="look"' in radios[0], "who fills a form blindly takes the first choice: it must do nothing"
    assert "onclick" not in page and "<script>" not in page


# --- A mail scanner ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fields", [{}, {"verb": "acknowledge"}, {"who": ""}, {"who": "look"}, {"who": "on"}, {"verb": "resolve"}]
)
def test_a_scanner_that_submits_every_form_stops_nothing(fields: dict[str, str]) -> None:
    row = told()
    assert submit(visitor(), path(row), **fields).status_code in (400, 403)
    assert status_of(row) == "open" and not AuditEntry.objects.filter(action="alert.acknowledge").exists()


def test_without_the_cookie_nothing_happens_and_a_page_says_so() -> None:
    row = told()
    answer = visitor().post(path(row), {"who": "take"})
    assert answer.status_code == 403 and "Nothing was changed" in body(answer)
    assert status_of(row) == "open"


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_do_not_exist(method: str) -> None:
    assert getattr(Browser(), method)(path(told())).status_code == 405


# --- Taking it ---------------------------------------------------------------------------------------------------------------
def test_the_person_it_went_to_takes_it() -> None:
    row, slower = told(), visitor()
    slower.get(path(row))
    answer = submit(visitor(), path(row), who="take")
    assert state(answer) == "done" and "Ana has it" in body(answer)
    assert Alert.objects.get(pk=row.alert_id).acknowledged_by == "Ana"
    entry = AuditEntry.objects.get(action="alert.acknowledge")
    assert entry.actor == "Ana (link of mail 7)" and entry.ip == "127.0.0.1"
    again = slower.post(path(row), {"csrfmiddlewaretoken": slower.cookies["csrftoken"].value, "who": "take"})
    assert state(again) == "already" and "Ana has it already" in body(again)
    assert AuditEntry.objects.filter(action="alert.acknowledge").count() == 1


def test_where_no_person_is_known_somebody_says_their_name() -> None:
    row = told(contact=False)
    page = visitor().get(path(row)).content.decode()
    assert re.search(r'<input type="text" name="name"[^>]*value=""[^>]*required', page)
    assert submit(visitor(), path(row), who="take").status_code == 400
    assert submit(visitor(), path(row), who="take", name="  \u202e ").status_code == 400
    assert status_of(row) == "open"
    submit(visitor(), path(row), who="take", name="Rui\r\n <b>")
    assert Alert.objects.get(pk=row.alert_id).acknowledged_by == "Rui <b>"
    assert b"<b> has" not in visitor().get(path(row)).content


def test_a_contacts_name_cannot_be_replaced_by_a_typed_one() -> None:
    row = told()
    submit(visitor(), path(row), who="take", name="Somebody else")
    assert Alert.objects.get(pk=row.alert_id).acknowledged_by == "Ana"


def test_who_is_signed_in_needs_no_choice() -> None:
    row, browser = told(), visitor()
    browser.force_login(cast.alice())
    assert b'type="radio"' not in browser.get(path(row)).content
    assert state(submit(browser, path(row), verb="acknowledge")) == "done"
    assert Alert.objects.get(pk=row.alert_id).acknowledged_by == str(cast.alice())


def test_the_person_it_went_to_says_that_it_is_over() -> None:
    row = told()
    answer = submit(visitor(), path(row), who="close", verb="acknowledge")
    assert state(answer) == "closed" and status_of(row) == "resolved"
    assert Alert.objects.get(pk=row.alert_id).resolved_by.startswith("Ana (link of")
    assert state(Browser().post(path(row), {"who": "close"})) == "resolved"


def test_what_somebody_has_taken_can_still_be_called_over() -> None:
    row = told()
    submit(visitor(), path(row), who="take", verb="acknowledge")
    page = visitor().get(path(row)).content.decode()
    assert 'value="close"' in page and 'value="take"' not in page
    assert state(submit(visitor(), path(row), who="close", verb="acknowledge")) == "closed"


def test_who_is_signed_in_may_resolve_it_and_nobody_else() -> None:
    row, browser = told(), visitor()
    assert b'value="resolve"' not in browser.get(path(row)).content
    assert submit(browser, path(row), verb="resolve", who="take").status_code == 403
    browser.force_login(cast.alice())
    assert b'value="resolve"' in browser.get(path(row)).content
    assert state(submit(browser, path(row), verb="resolve")) == "closed" and status_of(row) == "resolved"
    assert state(submit(browser, path(row), verb="resolve")) == "resolved"


def test_somebody_of_another_client_or_who_only_reads_has_no_more_than_the_link() -> None:
    for user in (cast.mallory(), cast.viewer()):
        row, browser = told(monitor=70 + user.pk), visitor()
        browser.force_login(user)
        page = browser.get(path(row)).content.decode()
        assert 'type="radio"' in page and 'value="resolve"' not in page
        assert submit(browser, path(row), verb="acknowledge").status_code == 400
        assert submit(browser, path(row), verb="resolve").status_code == 403
        assert status_of(row) == "open"


# --- Too late ----------------------------------------------------------------------------------------------------------------
def test_an_old_link_says_so_and_does_nothing() -> None:
    row = told()
    Delivery.objects.filter(pk=row.pk).update(created_at=database_now() - timedelta(hours=25))
    for answer in (visitor().get(path(row)), Browser().post(path(row), {"who": "take"})):
        assert answer.status_code == 410 and state(answer) == "expired" and "too old" in body(answer)
    assert status_of(row) == "open"


def test_what_is_over_and_what_somebody_has_is_said() -> None:
    row = told()
    acts.acknowledge(row.alert, by=cast.TESTS, at=database_now(), name="Ben")
    assert "Ben has it already" in body(visitor().get(path(row)))
    acts.resolve(row.alert, by=cast.TESTS, at=database_now())
    assert state(visitor().get(path(row))) == "resolved"
    assert state(Browser().post(path(row), {"who": "take"})) == "resolved"


@pytest.mark.parametrize("token", ["x", "1.AAAAAAAAAAAAAAAAAAAA", "9" * 30 + ".x", "1.x" * 400, "%00", "1.ü"])
def test_an_unknown_link_leads_nowhere(token: str) -> None:
    row = told()
    for answer in (visitor().get(f"/a/{token}/"), Browser().post(f"/a/{token}/", {"who": "take"})):
        assert answer.status_code == 404 and state(answer) == "unknown"
    assert visitor().get(f"/a/{links.token(row.pk, 'approve')}/").status_code == 404, "bound to its purpose"
