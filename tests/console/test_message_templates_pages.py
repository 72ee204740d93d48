"""Our own wording as a person without scripts works with it: written, tried on an alert, saved, said."""

from __future__ import annotations

import html

import pytest

from alerts import phrasing
from alerts.models import MessageTemplate
from tests import cast
from tests.alerts import stage
from tests.console.visiting import browser, form_of, text

pytestmark = pytest.mark.django_db
DATA = {"name": "Ours", "title": "{{client}} / {{monitor}}", "text": "Because: {{cause}}", "enabled": "on"}


def read(answer) -> str:
    return html.unescape(text(answer))


def test_a_wording_is_tried_on_the_sample_and_nothing_is_stored():
    caller = browser(cast.make_staff())
    page = caller.post("/message-templates/add/", {**DATA, "name": "", "preview": "1"})
    trial = page.context["trial"]
    assert (
        page.status_code == 200
        and "[Down] Acme / shop" in trial.title
        and trial.text.startswith("Because: Loss starts")
    )
    assert "[Down] Acme · shop" in read(page), "as it is without it stands there too"
    assert not MessageTemplate.objects.exists()


def test_every_name_can_be_inserted_and_has_a_value_in_the_sample():
    page = browser(cast.make_staff()).get("/message-templates/add/")
    for name in phrasing.NAMES:
        assert f"{{{{{name}}}}}" in read(page)
    assert [name for name, value in page.context["trial"].values.items() if not value] == []


def test_a_wording_is_tried_on_an_alert_that_happened():
    (alert,) = stage.tell(stage.failing(7, message="The disk <b>is</b> full"))
    caller = browser(cast.alice())
    form = caller.get("/message-templates/add/")
    assert "monitor-7 is down" in read(form)
    data = {**DATA, "client": cast.acme().pk, "alert": alert.pk, "preview": "1"}
    page = caller.post("/message-templates/add/", data)
    assert page.context["trial"].text == "Because: The disk <b>is</b> full" and "<b>is</b>" not in page.content.decode()
    assert "Its types do not name this message" in read(
        caller.post("/message-templates/add/", {**data, "types": "ssl"})
    )
    mallory = browser(cast.mallory()).post("/message-templates/add/", {**data, "client": cast.globex().pk})
    assert mallory.status_code == 400 and "disk" not in read(mallory), "another client's alert does not exist"


def test_a_name_that_does_not_exist_stands_at_its_field():
    for wish in ({"preview": "1"}, {}):
        answer = browser(cast.make_staff()).post("/message-templates/add/", {**DATA, "text": "{{nonsense}}", **wish})
        assert answer.status_code == 400 and "There is no {{nonsense}}" in str(answer.context["form"].errors["text"])


def test_a_wording_is_saved_changed_switched_off_and_deleted():
    caller = browser(cast.alice())
    assert caller.post("/message-templates/add/", DATA).status_code == 400, "a client's people say whose it is"
    caller.post("/message-templates/add/", {**DATA, "client": cast.acme().pk, "types": "monitor.down"})
    row = MessageTemplate.objects.get()
    assert (row.client, row.types, row.title) == (cast.acme(), "monitor.down", DATA["title"])
    page = caller.get(f"/message-templates/{row.pk}/")
    caller.post(f"/message-templates/{row.pk}/", {**form_of(page), "title": "{{word}}", "enabled": ""})
    row.refresh_from_db()
    assert (row.title, row.enabled) == ("{{word}}", False) and "Off" in read(caller.get("/message-templates/"))
    for path in ("", "delete/"):
        assert browser(cast.mallory()).get(f"/message-templates/{row.pk}/{path}").status_code == 404
        assert browser(cast.viewer()).post(f"/message-templates/{row.pk}/{path}").status_code == 403
    caller.post(f"/message-templates/{row.pk}/delete/")
    assert not MessageTemplate.objects.exists()


def test_another_clients_channel_cannot_be_chosen():
    foreign, own = stage.webhook("theirs", cast.globex()), stage.webhook("ours", cast.acme())
    caller, data = browser(cast.alice()), {**DATA, "client": cast.acme().pk}
    assert caller.post("/message-templates/add/", {**data, "channel": foreign.pk}).status_code == 400
    staff = browser(cast.make_staff())
    assert staff.post("/message-templates/add/", {**data, "channel": foreign.pk}).status_code == 400
    assert caller.post("/message-templates/add/", {**data, "channel": own.pk}).status_code == 302


def test_the_live_preview_is_only_that_part_of_the_page():
    asked = {"HX-Request": "true", "HX-Target": "preview"}
    for data in (DATA, {**DATA, "text": "{{nonsense}}"}):
        answer = browser(cast.make_staff()).post("/message-templates/add/", {**data, "preview": "1"}, headers=asked)
        assert answer.status_code == 200 and "<html" not in answer.content.decode()
        assert 'id="preview"' in answer.content.decode()[:200]
