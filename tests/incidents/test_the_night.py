"""03:14:22, a check fails. One night, second by second, through the pages and the API, as the engineer lives it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from alerts.models import Alert, Channel, Delivery, Run
from console.pages import incident as page
from console.pages import incident_postmortem
from incidents import api
from incidents.models import Incident
from monitors import partitions
from portal.clock import database_now
from tests import cast
from tests.alerts import climbing, stage
from tests.console.visiting import browser, form_of, text
from tests.monitors import rows
from tests.monitors.seeing import judge, see, state, watch

pytestmark = [pytest.mark.django_db, pytest.mark.once]


class Clock:
    """What the portal's pages and API believe the time to be."""

    def __init__(self) -> None:
        self.night = (database_now() - timedelta(days=1)).replace(hour=3, minute=0, second=0, microsecond=0)
        self.now = self.night

    def at(self, words: str) -> datetime:
        """`14:22`: that moment past three."""
        minute, second = map(int, words.split(":"))
        self.now = self.night + timedelta(minutes=minute, seconds=second)
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    for module in (page, api, incident_postmortem):
        monkeypatch.setattr(module, "database_now", lambda: clock.now)
    partitions.ensure(clock.night.date(), clock.night.date())
    return clock


def test_the_night_of_the_stuck_failover(clock):
    sms = Channel.objects.create(name="Ana's phone", type="twilio_sms", config={"to": "+4915112345678"})
    manager = stage.webhook("The manager")
    stage.trigger(sms)
    climbing.policy(climbing.level(300, manager), name="Night")
    shop = rows.monitor(name="prod-api", confirmation_count=1)
    watch(shop, "u", clock.at("13:22"))
    staff, engineer = cast.api(cast.make_staff()), browser(cast.make_staff())

    # 03:14:22 The check fails; in the same moment there is an alert, an incident and a message owed.
    see(shop, "f", clock.at("14:22"))
    judge(clock.now)
    alert, incident = Alert.objects.get(), Incident.objects.get()
    assert state(shop) == "down" and incident.created_at == incident.began_at == clock.now
    assert (incident.status, incident.responder_status, incident.auto_created) == ("investigating", "triggered", True)
    body = staff.get(f"/api/v1/incidents/{incident.pk}").json()
    assert body["affected_http_job_ids"] == [shop.pk] and body["times_known_by"] == {"began_at": "check"}

    # 03:14:30 The SMS arrives.
    (text_message,) = stage.claim(clock.at("14:30"))
    stage.ends(text_message, at=clock.now)
    assert text_message.channel_id == sms.pk and text_message.notice.snapshot["title"]

    # 03:15:10 Ana opens the page and takes it.
    climbing.sweep(clock.at("15:09"))
    clock.at("15:10")
    seen = engineer.get(f"/incidents/{incident.pk}/")
    assert "nobody has it yet" in text(seen) and "Ana's phone" in seen.content.decode().replace("&#x27;", "'")
    engineer.post(f"/incidents/{incident.pk}/acknowledge/")
    incident.refresh_from_db()
    assert incident.responder_status == "acknowledged" and incident.acknowledged_at == clock.now
    assert incident.status == "investigating", "nothing is published by it"
    assert Run.objects.get(alert=alert).status == "stopped_by_ack"

    # 03:18 She knows what it is, and says so.
    clock.at("18:00")
    words = "Database failover stuck. Manually promoting standby."
    engineer.post(f"/incidents/{incident.pk}/", {"status": "identified", "message": words})
    incident.refresh_from_db()
    assert (incident.status, incident.responder_status) == ("identified", "acknowledged")

    # 03:20 The manager would have been called by now. He sleeps.
    climbing.sweep(clock.at("20:00"))
    assert not Delivery.objects.filter(channel=manager).exists()

    # 03:24 Fixed; the next check is green, and both machines are resolved by themselves.
    see(shop, "u", clock.at("24:07"))
    judge(clock.now)
    incident.refresh_from_db()
    assert (incident.status, incident.responder_status) == ("resolved", "resolved")
    assert incident.resolved_at == incident.mitigated_at == clock.now and not incident.taken_over
    assert Alert.objects.get().is_resolved
    updates = staff.get(f"/api/v1/incidents/{incident.pk}/updates").json()["results"]
    assert {u["status"] for u in updates} == {"identified", "resolved"}

    # In the morning: everything in its order, with its second.
    story = staff.get(f"/api/v1/incidents/{incident.pk}/timeline").json()["results"]
    when = [
        (e["kind"], e["at"][14:19])
        for e in story
        if e["kind"] in ("opened", "page", "acknowledged", "update", "state", "resolved")
    ]
    assert set(when[:2]) == {("opened", "14:22"), ("state", "14:22")}
    assert [w for w in when if w[0] in ("page", "acknowledged", "update")][:3] == [("page", "14:30"), ("acknowledged", "15:10"), ("update", "18:00")]  # fmt: skip
    assert ("resolved", "24:07") in when and ("state", "24:07") in when
    draft = str(form_of(engineer.get(f"/incidents/{incident.pk}/postmortem/edit/"))["body"])
    assert "| Acknowledged |" in draft and "| 48 s | said by a person |" in draft and "| 9 min 45 s |" in draft
    assert "Identified: Database failover stuck" in draft
