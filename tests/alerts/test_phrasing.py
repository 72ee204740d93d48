"""Words of one's own: `{{name}}` templates, the most particular one, never code."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from alerts import phrasing, sender
from alerts.models import MessageTemplate
from tests import cast
from tests.alerts import stage
from tests.alerts.letters import PAGE
from tests.alerts.stage import T, claim, failing, tell

pytestmark = pytest.mark.django_db


def template(**values) -> MessageTemplate:
    return phrasing.save_template(
        None, by=cast.TESTS, **{"name": "Ours", "title": "{{monitor}} of {{client}}", **values}
    )


def message(of=None):
    """What the next waiting delivery says."""
    rows = claim(T)
    return [m for _, _, m in sender.prepare(rows, T)]


def test_a_template_says_title_and_text():
    template(text="{{cause}} since {{since}}. See {{url}}")
    (said,) = [phrasing.said(PAGE, MessageTemplate.objects.get())]
    assert said.title == "shop of Acme" and said.headline.startswith(
        "[Down] shop of Acme — connection refused since 21 Nov 2026"
    )
    assert said.cause.endswith("See https://portal.example/alerts/9/")


def test_the_message_that_goes_out_is_said_so():
    stage.trigger(stage.webhook())
    template(types="monitor.down", title="Attention: {{monitor}}")
    tell(failing(7))
    (said,) = message()
    assert said.title == "Attention: monitor-7" and said.cause == "connection refused"


def test_the_most_particular_one_counts():
    channel, acme = stage.webhook(of=cast.acme()), cast.acme().pk
    every = template(name="every", title="1")
    client = template(name="client", title="2", client=cast.acme())
    own = template(name="channel", title="3", channel=channel)
    own_down = template(name="channel, down", title="4", channel=channel, types="monitor.down")
    rows = list(MessageTemplate.objects.all())

    def chosen(channel_id: int, client_id: int, without=(), owner: int | None = acme) -> MessageTemplate | None:
        left = [r for r in rows if r not in without]
        return phrasing.choose(left, PAGE, client=client_id, channel=channel_id, owner=owner)

    assert chosen(channel.pk, acme) == own_down
    assert chosen(channel.pk, acme, [own_down]) == own
    assert chosen(channel.pk + 1, acme) == client
    assert chosen(channel.pk + 1, acme + 1) == every
    assert chosen(channel.pk + 1, acme, owner=None) == every, "what our staff read is not the client's to write"


@pytest.mark.parametrize(
    ("types", "fits"),
    [
        ("", True),
        ("monitor.down", True),
        ("monitor", True),
        ("ssl, monitor.down", True),
        ("monitor.do", False),
        ("ssl", False),
    ],
)
def test_types(types, fits):
    assert bool(phrasing.wants(types, "monitor.down")) is fits


@pytest.mark.parametrize("hostile", ["{{7*7}}", "{{title.__class__}}", "{{ settings }}", "{{}}", "{{title|safe}}"])
def test_a_template_is_not_code(hostile):
    with pytest.raises(ValidationError) as refusal:
        template(title=hostile)
    assert "known are word, event" in refusal.value.message_dict["title"][0]


def test_a_value_that_looks_like_a_template_stays_as_it_is():
    assert phrasing.render("{{title}}", {"title": "{{cause}}", "cause": "secret"}) == "{{cause}}"


def test_percent_signs_and_single_braces_are_text():
    assert phrasing.render("{x} %(y)s {% z %} {{ cause }}", {"cause": "down"}) == "{x} %(y)s {% z %} down"


def test_an_empty_template_is_refused():
    with pytest.raises(ValidationError, match="Give a title or a text"):
        template(title=" ")


def test_another_clients_channel_is_refused():
    with pytest.raises(ValidationError, match="another client"):
        template(client=cast.acme(), channel=stage.webhook(of=cast.globex()))


def test_a_gathered_message_keeps_its_own_words():
    from tests.alerts.letters import GATHERED

    assert phrasing.said(GATHERED, template()) == GATHERED
