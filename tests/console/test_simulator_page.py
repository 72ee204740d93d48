"""Who would be told, and when? The simulator by page and by API, escalation included."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts import schedules
from alerts.models import Alert, Delivery, Run, Silence, Trigger
from monitors import services
from portal.clock import database_now
from tests import cast
from tests.alerts import climbing, stage
from tests.console import scene
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_other_triggers():
    cast.acme(), cast.globex()
    Trigger.objects.all().delete()


def ladder():
    """Ops hears at once by trigger; Ana after one minute, Ben two minutes after level 2 of five."""
    ops = stage.webhook("Ops")
    stage.trigger(ops)
    ana = climbing.person("Ana", stage.webhook("SMS Ana"))
    ben = climbing.person("Ben", stage.webhook("SMS Ben"), delay_minutes=2)
    return climbing.policy(climbing.level(60, contacts=[ana]), climbing.level(300, contacts=[ben]), name="Night", repeat_count=2)  # fmt: skip


def ask(m, who=None, event="consecutive_failure") -> dict:
    return cast.api(who or cast.make_staff()).get(f"/api/v1/simulate?monitor={m.pk}&event={event}").json()


def test_the_api_tells_the_ladder_sorted_and_by_what():
    ladder()
    m = scene.monitor()
    assert [(x["at_seconds"], x["channel_name"], x["contact_name"], x["via"]) for x in ask(m)["would_tell"]] == [
        (0, "Ops", None, "trigger All"),
        (60, "SMS Ana", "Ana", "policy Night, level 1"),
        (420, "SMS Ben", "Ben", "policy Night, level 2"),
    ]
    assert (Alert.objects.count(), Run.objects.count(), Delivery.objects.count()) == (0, 0, 0)


def test_a_level_with_nobody_on_call_is_said_and_the_next_comes_at_once():
    empty = schedules.save_schedule(None, by=cast.TESTS, client=None, name="Primary", layers=[])
    ana = climbing.person("Ana", stage.webhook("SMS Ana"))
    levels = (climbing.level(60, schedules=[empty]), climbing.level(600, contacts=[ana]))
    row = climbing.policy(*levels, name="Night")
    m = scene.monitor()
    answer = ask(m)
    assert [(x["at_seconds"], x["contact_name"]) for x in answer["would_tell"]] == [(60, "Ana")]
    assert {"rule": "policy Night, level 1", "reason": "Nobody is on call in Primary."} in answer["held_back"]
    row.on_empty = "wait"
    row.save()
    assert ask(m)["would_tell"][0]["at_seconds"] == 600


def test_what_is_foretold_is_what_happens():
    ladder()
    m, at = scene.monitor(), database_now()
    foretold = [(x["at_seconds"], x["channel_name"]) for x in ask(m)["would_tell"]]
    alert = scene.fail(m, at)
    for seconds in range(0, 430, 10):
        climbing.sweep(at + timedelta(seconds=seconds))
    rows = Delivery.objects.filter(alert=alert).select_related("channel").order_by("next_attempt_at")
    assert [(round((d.next_attempt_at - at).total_seconds()), d.channel.name) for d in rows] == foretold


def test_a_clients_person_hears_nothing_of_our_escalation_but_of_their_own_channel():
    theirs = stage.webhook("Acme ops", cast.acme())
    climbing.policy(climbing.level(0, stage.webhook("Ops")), climbing.level(60, theirs), name="Secret night")
    answer = ask(scene.monitor(), cast.alice())
    assert [(x["at_seconds"], x["channel_name"]) for x in answer["would_tell"]] == [(60, "Acme ops")]
    assert "Secret" not in str(answer) and "Ops'" not in str(answer)


def test_the_page_draws_it():
    ladder()
    m = scene.monitor()
    caller = browser(cast.make_staff())
    assert "Choose a monitor" in text(caller.get("/simulate/"))
    page = text(caller.get(f"/simulate/?monitor={m.pk}&event=consecutive_failure"))
    for words in ("3 channels hear of it", "at once Ops", "1 min Ana by SMS Ana", "7 min Ben", "Night starts over, 2 times"):  # fmt: skip
        assert words in page, words


def test_what_holds_it_back_is_said_on_the_page():
    ladder()
    m, at = scene.monitor(), database_now()
    values = {
        "starts_at": at - timedelta(hours=1),
        "ends_at": at + timedelta(hours=1),
        "matchers": {"entity_id": m.name},
    }
    Silence.objects.create(reason="Database work", **values)
    page = text(browser(cast.make_staff()).get(f"/simulate/?monitor={m.pk}"))
    assert "nobody is told now" in page and "Database work" in page and "Ana" not in page
    services.pause(m, by=cast.TESTS, at=at)
    assert "The monitor is paused" in text(browser(cast.make_staff()).get(f"/simulate/?monitor={m.pk}"))


def test_nobody_is_said_loudly_and_mistakes_are_harmless():
    m = scene.monitor()
    caller = browser(cast.make_staff())
    assert "Nobody would be told." in text(caller.get(f"/simulate/?monitor={m.pk}"))
    assert caller.get(f"/simulate/?monitor={m.pk}&event=apocalypse").status_code == 200
    assert caller.get("/simulate/?monitor=987654").status_code == 404
    assert browser(cast.mallory()).get(f"/simulate/?monitor={m.pk}").status_code == 404
    assert "shop" in text(caller.get("/simulate/?q=sho")) and "Choose one" in text(caller.get("/simulate/?q=zzz"))
