"""Triggers, wording, people and channels in a real browser: previews follow what is typed, and a phone is wide enough."""

from __future__ import annotations

import pytest

from alerts import services
from alerts.models import Channel, MessageTemplate, Trigger
from portal.clock import database_now
from portal.models import Contact, ContactGroup
from tests import cast
from tests.alerts import stage
from tests.console.test_browser import PHONE, Visitor, chromium  # noqa: F401 - a fixture
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_a_trigger_would_match_follows_what_is_ticked(chromium, live_server):  # noqa: F811
    at = database_now()
    stage.tell(stage.failing(1, at), stage.failing(2, at, severity="warning"), stage.failing(3, at))
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open("/triggers/add/")
    page.get_by_label("Warning").check()
    page.locator("#preview").get_by_text("1 of 3 alerts of the last 7 days").wait_for()
    page.get_by_label("Critical").check()
    page.locator("#preview").get_by_text("3 of 3 alerts of the last 7 days").wait_for()
    page.get_by_text("More filters and hours").click()
    page.get_by_label("Scopes").fill("nonsense")
    page.get_by_label("Tags").focus()
    page.locator("#preview").get_by_text("Not clear yet").wait_for()
    assert page.get_by_label("Warning").is_checked() and not Trigger.objects.exists() and sam.complaints == []


def test_what_a_wording_says_follows_the_typing(chromium, live_server):  # noqa: F811
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open("/message-templates/add/")
    title = page.get_by_label("Title")
    title.fill("{{client}} has a problem")
    page.locator("#preview").get_by_text("[Down] Acme has a problem").wait_for()
    title.fill("{{nonsense}}")
    page.locator("#preview").get_by_text("There is no {{nonsense}}").wait_for()
    assert title.evaluate("e => e === document.activeElement")
    assert not MessageTemplate.objects.exists() and sam.complaints == []


def test_a_channel_is_chosen_made_and_tested_by_keyboard_and_button(chromium, live_server, receiver: Receiver):  # noqa: F811
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open("/channels/add/")
    page.get_by_role("link", name="Webhook", exact=True).click()
    page.get_by_label("URL", exact=True).fill(receiver.url("/hook"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/channels/*/")
    page.get_by_role("button", name="Send a test").click()
    page.wait_for_selector("text=was delivered. The answer was 200 ok.")
    assert len(receiver.calls) == 1 and Channel.objects.get().last_success_at and sam.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_is_wide_enough(chromium, live_server, scheme):  # noqa: F811
    long = "somebody.with.a.very.long.name.that.has.no.room.to.break@region-12.shop.acme.example"
    person = Contact.objects.create(client=cast.acme(), name="Ana", email=long)
    services.add_way(person, by=cast.TESTS, type="email", settings={"to": [long]})
    group = ContactGroup.objects.create(client=cast.acme(), name="On call")
    group.contacts.add(person)
    hook = stage.webhook("hook", cast.acme(), "https://hooks.example/" + "x" * 120, unhealthy_since=database_now(), unhealthy_reason="y" * 200)  # fmt: skip
    row = MessageTemplate.objects.create(name="Ours", title="{{url}}" * 20, text="{{report_url}}" * 20)
    trigger = stage.trigger(hook, name="All", groups=[group])
    ana = Visitor(chromium, live_server, cast.make_owner(), PHONE, color_scheme=scheme, has_touch=True)
    for path in (
        "/channels/", "/channels/add/", "/channels/add/?type=ticket_http", f"/channels/{hook.pk}/", "/contacts/", "/contacts/add/", f"/contacts/{person.pk}/",
        f"/contacts/{person.pk}/edit/", f"/contacts/{person.pk}/ways/add/", f"/contacts/{person.pk}/ways/add/?type=twilio_whatsapp", f"/contacts/{person.pk}/ways/{person.ways.get().pk}/",
        "/contact-groups/", f"/contact-groups/{group.pk}/", "/message-templates/", f"/message-templates/{row.pk}/", "/triggers/", f"/triggers/{trigger.pk}/",
    ):  # fmt: skip
        page = ana.open(path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
    assert ana.complaints == []
