"""Wording over the API: made through the one door, tried without being stored, nobody else's channels or alerts."""

from __future__ import annotations

import pytest

from alerts import phrasing, trying
from alerts.message import message_from
from alerts.models import Delivery, MessageTemplate
from portal.models import AuditEntry
from tests import cast
from tests.alerts import stage

pytestmark = pytest.mark.django_db
PATH = "/api/v1/message-templates"


@pytest.fixture
def staff():
    return cast.api(cast.make_staff())


def test_a_template_is_made_read_changed_and_deleted(staff):
    body = {"client": cast.acme().pk, "channel": None, "name": "Ours", "types": "monitor.down", "title": "{{client}}!", "text": "", "enabled": True}  # fmt: skip
    answer = staff.post(PATH, body)
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert {key: made[key] for key in body} == body
    path = f"{PATH}/{made['id']}"
    assert staff.get(path).json() == made and staff.put(path, made).json() == made
    assert staff.patch(path, {"text": "{{cause}}"}).json()["text"] == "{{cause}}"
    assert len(staff.get(f"{PATH}?client={cast.acme().pk}").json()["results"]) == 1
    assert len(staff.get(f"{PATH}?client={cast.globex().pk}").json()["results"]) == 0
    assert staff.delete(path).status_code == 204 and staff.get(path).status_code == 404
    actions = AuditEntry.objects.filter(action__startswith="messagetemplate.").order_by("id")
    assert [e.action.partition(".")[2] for e in actions] == ["created", "changed", "deleted"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": "{{nonsense}}"}, "title"),
        ({"text": "{{client.secret}}"}, "text"),
        ({"title": "", "text": ""}, "title"),
        ({"name": " "}, "name"),
        ({"text": "x" * 4001}, "text"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(staff, change, field):
    answer = staff.post(PATH, {"name": "n", "title": "t", **change})
    assert answer.status_code == 400 and field in str(answer.json())
    assert not MessageTemplate.objects.exists()


def test_a_channel_of_another_client_does_not_exist():
    alice, foreign = cast.api(cast.alice()), stage.webhook("theirs", cast.globex())
    assert alice.post(PATH, {"name": "n", "title": "t", "channel": foreign.pk}).status_code == 400
    made = alice.post(PATH, {"name": "n", "title": "t"}).json()
    assert made["client"] == cast.acme().pk, "a client's admin makes their client's wording"
    assert cast.api(cast.mallory()).get(f"{PATH}/{made['id']}").status_code == 404
    assert cast.api(cast.viewer()).post(PATH, {"name": "n", "title": "t"}).status_code == 403


def test_the_preview_says_it_with_and_without(staff):
    answer = staff.post(f"{PATH}/preview", {"title": "{{client}}/{{monitor}}", "text": "Now: {{cause}}"})
    assert answer.status_code == 200, answer.json()
    said = answer.json()
    assert said["headline"].startswith("[Down] Acme/shop") and said["text"].startswith("Now: Loss starts")
    assert said["headline_without"].startswith("[Down] Acme · shop") and said["applies"] is True
    assert set(said["values"]) == set(phrasing.NAMES) and not MessageTemplate.objects.exists()


def test_the_preview_of_an_alert_says_what_that_alert_would(staff):
    (alert,) = stage.tell(stage.failing(7, message="disk full"))
    said = staff.post(f"{PATH}/preview", {"text": "{{monitor}}: {{cause}}", "types": "ssl", "alert": alert.pk}).json()
    assert (said["text"], said["type"], said["applies"]) == ("monitor-7: disk full", "monitor.down", False)
    said = staff.post(
        f"{PATH}/preview", {"text": "{{monitor}}: {{cause}}", "types": "monitor", "alert": alert.pk}
    ).json()
    assert said["text_without"] == "disk full" and said["applies"] is True
    assert staff.post(f"{PATH}/preview", {"text": "{{nonsense}}"}).status_code == 400


def test_whoever_reads_may_preview_but_not_another_clients_alert():
    (alert,) = stage.tell(stage.failing(7))
    reader = cast.api(cast.viewer(), "read")
    assert reader.post(f"{PATH}/preview", {"text": "{{cause}}", "alert": alert.pk}).status_code == 200
    assert cast.api(cast.mallory()).post(f"{PATH}/preview", {"text": "x", "alert": alert.pk}).status_code == 400


def test_the_wording_that_is_previewed_is_the_wording_that_is_sent(staff):
    stage.trigger(stage.webhook())
    (alert,) = stage.tell(stage.failing(7))
    staff.post(PATH, {"name": "n", "title": "{{client}} says", "text": "{{monitor}} since {{since}}"})
    row = Delivery.objects.select_related("notice").get()
    (template,) = phrasing.of_rows([row])
    sent = phrasing.said(message_from(row.notice.snapshot, delivery_id=row.pk, attempt=1), template)
    tried = trying.tried(template, alert, alert.created_at)
    assert (tried.title, tried.text) == (sent.headline, sent.cause)
