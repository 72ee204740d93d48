"""Channels as a person without scripts works with them: choosing a kind, its limits, its health, its buttons."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta

import pytest

from alerts import channels as kinds
from alerts import limits, policies, services
from alerts.models import Channel, Delivery, Trigger, Usage
from console.pages.channel_form import GROUPS, grouped
from portal.clock import database_now
from portal.models import Contact
from tests import cast
from tests.alerts import stage
from tests.console import scene
from tests.console.test_pages import queries
from tests.console.visiting import browser, form_of, text
from tests.rig.answers import Answer
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.django_db


def row_of(page, channel: Channel) -> dict:
    """What the list knows of a channel."""
    return next(r for r in page.context["rows"] if r["channel"] == channel)


def read(answer) -> str:
    """What a person reads, with quotes as they see them."""
    return html.unescape(text(answer))


# --- Choosing --------------------------------------------------------------------------------------------------------
@pytest.mark.once
def test_every_kind_can_be_chosen_once_and_says_what_one_must_know():
    page = read(browser(cast.make_staff()).get("/channels/add/"))
    offered = [k["kind"] for _, _, members in grouped(staff=True) for k in members]
    assert sorted(offered) == sorted(kinds.KINDS)
    for cls in kinds.KINDS.values():
        assert cls.label in page and " ".join(cls.caveat.split()) in page
    assert {kind for _, _, named in GROUPS for kind in named} <= set(kinds.KINDS), "a group names a kind that is gone"


@pytest.mark.once
def test_a_client_is_not_offered_what_only_staff_may_use():
    caller = browser(cast.alice())
    assert "Apprise" not in read(caller.get("/channels/add/"))
    assert "Apprise URL" not in read(caller.get("/channels/add/?type=apprise"))


@pytest.mark.once
@pytest.mark.parametrize("kind", list(kinds.KINDS))
def test_every_kinds_form_saves_its_example_and_changes_nothing_when_sent_back(kind):
    caller = browser(cast.make_staff())
    cls = kinds.KINDS[kind]
    fields = cls.Config.model_fields
    wanted = (
        {n for n, f in fields.items() if f.is_required()}
        | {cls.main_field}
        | ({"token"} if kind == "gotify" else set())
    )
    typed = {}
    for name in wanted & set(fields):
        example = (fields[name].examples or [""])[0]
        typed[f"config_{name}"] = "\n".join(example) if isinstance(example, list) else example
    answer = caller.post("/channels/add/", {"type": kind, "name": "Mine", "enabled": "on", **typed})
    errors = answer.context["form"].errors if answer.context else {}
    assert answer.status_code == 302, errors
    row = Channel.objects.get(name="Mine")
    before = (row.config, row.secrets.open() if row.secrets else {})
    page = caller.get(f"/channels/{row.pk}/")
    again = caller.post(f"/channels/{row.pk}/", form_of(page))
    assert again.status_code == 302, again.context["form"].errors
    row.refresh_from_db()
    assert (row.config, row.secrets.open() if row.secrets else {}) == before


# --- Limits ----------------------------------------------------------------------------------------------------------
def test_what_people_read_has_a_rate_and_a_quota_and_what_programs_read_has_none():
    caller = browser(cast.make_staff())
    form = caller.get("/channels/add/?type=twilio_sms").context["form"]
    assert "Empty: 10." in form["rate_per_minute"].help_text and "Empty: 500." in form["monthly_quota"].help_text
    data = {"type": "twilio_sms", "name": "SMS", "config_to": "+351912345678", "enabled": "on", "rate_per_minute": "3", "monthly_quota": "40"}  # fmt: skip
    assert caller.post("/channels/add/", {**data, "monthly_quota": "0"}).status_code == 400
    assert caller.post("/channels/add/", data).status_code == 302
    row = Channel.objects.get(name="SMS")
    assert (limits.per_minute(row), limits.quota(row)) == (3, 40)
    assert "rate_per_minute" not in caller.get("/channels/add/?type=webhook").context["form"].fields


def test_the_list_shows_what_was_sent_this_month_of_what_may_be():
    row = stage.mail("SMS", monthly_quota=50)
    now, before = limits.month_of(database_now()), limits.month_of(database_now() - timedelta(days=40))
    Usage.objects.create(channel=row, month=now, sent=45)
    Usage.objects.create(channel=row, month=before, sent=50)
    page = browser(cast.make_staff()).get("/channels/")
    assert "45 of 50" in read(page) and row_of(page, row)["usage"]["tone"] == "degraded"
    Usage.objects.filter(month=now).update(sent=50)
    assert "Over: once an hour" in read(browser(cast.make_staff()).get("/channels/"))


# --- Health ----------------------------------------------------------------------------------------------------------
def test_a_failing_channel_stands_first_with_since_when_and_why(settings):
    settings.SMTP_HOST = ""
    works, off = stage.webhook("works", last_success_at=database_now(), last_answer="200 delivered"), stage.webhook("off", enabled=False)  # fmt: skip
    failing = stage.webhook(
        "zz failing", unhealthy_since=datetime(2026, 5, 1, 10, 0, tzinfo=UTC), unhealthy_reason="410 gone"
    )
    page = browser(cast.make_staff()).get("/channels/")
    assert page.context["rows"][0]["channel"] == failing
    states = {r["channel"].pk: (r["health"]["state"], r["health"]["word"]) for r in page.context["rows"]}
    assert states == {works.pk: ("up", "Works"), off.pk: ("paused", "Off"), failing.pk: ("down", "Failing")}
    for words in ("since 1 May 10:00", "410 gone", "200 delivered"):
        assert words in read(page)


def test_what_lacks_its_providers_account_says_so_with_the_cure_and_owners_get_the_link():
    Channel.objects.create(name="Call", type="twilio_voice", config={"to": "+351912345678"})
    staff, owner = (browser(who()).get("/channels/") for who in (cast.make_staff, cast.make_owner))
    for page in (staff, owner):
        assert "Not ready" in read(page) and "No Twilio account" in read(page)
    assert "/admin/portal/providersettings/" in owner.content.decode()
    assert "/admin/portal/providersettings/" not in staff.content.decode()


# --- Who names it ------------------------------------------------------------------------------------------------------
def test_a_channel_says_what_names_it_and_that_it_is_silent_otherwise():
    caller = browser(cast.make_staff())
    row = stage.mail("Mail")
    assert "Nobody: silent" in read(caller.get("/channels/"))
    policies.save_policy(
        None, by=cast.TESTS, name="Night", active=False, levels=[{"delay_seconds": 0, "channels": [row]}]
    )
    assert "All off: silent" in read(caller.get("/channels/"))
    Trigger.objects.create(name="Everything").channels.add(row)
    services.add_way(Contact.objects.create(name="Ben"), by=cast.TESTS, channel=row)
    page = read(caller.get("/channels/"))
    for words in ("Everything", "Night , level 1 (off)", "Ben (contact)"):
        assert words in page, words
    assert "silent" not in page.partition("Named by")[2]


def test_a_client_reads_of_our_own_rules_only_that_there_are_some():
    s = scene.outage()
    ours = Trigger.objects.create(name="Secret plan of the MSP")
    ours.channels.add(s.theirs)
    page = read(browser(cast.alice()).get("/channels/"))
    assert "Secret plan" not in page and "1 rule of your provider" in page and "To Acme ops of Acme" in page


# --- Its buttons -------------------------------------------------------------------------------------------------------
def test_a_test_shows_the_vendors_answer(receiver: Receiver):
    row = stage.webhook("Hook", url=receiver.url())
    caller = browser(cast.make_staff())
    page = read(caller.post(f"/channels/{row.pk}/test/", {"next": f"/channels/{row.pk}/"}, follow=True))
    assert "was delivered. The answer was 200 ok." in page
    latest = page.partition("Latest messages")[2]
    assert "Test message for Hook" in latest and "delivered 200: ok" in latest


def test_what_was_only_taken_is_asked_about(receiver: Receiver):
    url = receiver.behave("/workflows/7/triggers/manual/paths/invoke", Answer(202))
    row = Channel.objects.create(name="Flow", type="msteams", secrets={"url": url})
    page = read(browser(cast.make_staff()).post(f"/channels/{row.pk}/test/", follow=True))
    assert len(receiver.calls) == 1 and "was delivered" not in page
    assert "Did it arrive?" in page and "Look whether the test arrives" in page


def test_a_channel_is_switched_off_and_on_and_tested_weekly():
    row = stage.webhook("Hook")
    caller, path = browser(cast.make_staff()), f"/channels/{row.pk}"
    assert "is off" in read(caller.post(f"{path}/off/", follow=True))
    assert "switched off" in read(caller.post(f"{path}/digest/", follow=True)), "a digest needs a channel that is on"
    assert "is on" in read(caller.post(f"{path}/on/", follow=True))
    assert "every week" in read(caller.post(f"{path}/weekly/", follow=True))
    row.refresh_from_db()
    assert row.enabled and row.canary
    caller.post(f"{path}/not-weekly/")
    row.refresh_from_db()
    assert not row.canary
    assert caller.post(f"{path}/explode/").status_code == 404
    assert caller.get(f"{path}/off/").status_code == 302 and Channel.objects.get().enabled, "looking changes nothing"


def test_a_digest_on_demand_tells_what_is_open():
    s = scene.outage()
    caller = browser(cast.alice())
    assert "1 open alerts: 1 critical" in read(caller.post(f"/channels/{s.theirs.pk}/digest/", follow=True))
    assert Delivery.objects.filter(channel=s.theirs, kind="digest").count() == 1
    assert caller.post(f"/channels/{s.ours.pk}/digest/").status_code == 404
    assert browser(cast.viewer()).post(f"/channels/{s.theirs.pk}/digest/").status_code == 403


def test_a_client_admin_may_not_point_a_channel_into_our_network(settings):
    settings.OUTBOUND_ALLOW = ()
    of = cast.acme()
    data = {"type": "webhook", "client": of.pk, "name": "Inside", "enabled": "on", "config_url": "http://127.0.0.1:9/x"}
    answer = browser(cast.alice()).post("/channels/add/", data)
    assert answer.status_code == 400 and "config_url" in answer.context["form"].errors


# --- Costs -------------------------------------------------------------------------------------------------------------
def test_the_list_costs_the_same_with_three_channels_and_with_thirty():
    def more(count: int) -> None:
        for n in range(count):
            of = cast.client(f"Client {n} of {count}")
            row = stage.mail(f"mail {n} of {count}", of, monthly_quota=10)
            stage.trigger(row, name=f"to {n} of {count}", client=of)
            person = Contact.objects.create(client=of, name=f"Person {n}")
            services.add_way(person, by=cast.TESTS, channel=row)
            policies.save_policy(None, by=cast.TESTS, name=f"Policy {n} of {count}", client=of, levels=[{"delay_seconds": 0, "channels": [row]}])  # fmt: skip

    caller = browser(cast.make_staff())
    more(12)
    few = queries(caller, "/channels/")
    more(27)
    assert queries(caller, "/channels/") == few <= 20
