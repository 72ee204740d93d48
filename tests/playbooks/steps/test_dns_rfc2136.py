"""Does the record move on a real name server, once, and only as it was approved?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import dns.message
import dns.update
import pytest

from playbooks.steps import dns_rfc2136
from playbooks.steps.base import NotDone
from tests.playbooks.steps.knot import READER, SECRETS, Knot, Line
from tests.playbooks.steps.moving import name_server, signed, swap
from tests.playbooks.steps.scene import CONTEXT

pytestmark = pytest.mark.once


# --- It moves, and comes back -------------------------------------------------------------------------------------------
def test_the_record_moves_and_what_was_before_is_kept(knot: Knot) -> None:
    done = swap(knot.place).do(CONTEXT)
    assert knot.holds("www", "A") == (["192.0.2.20"], 60)
    assert done.before == {"values": ["192.0.2.10"], "ttl": 300}
    assert done.after == {"values": ["192.0.2.20"], "ttl": 60}
    assert done.output == "192.0.2.10 (TTL 300 s) → 192.0.2.20 (TTL 60 s)."


def test_undoing_puts_back_all_values_and_their_ttl(knot: Knot) -> None:
    step = swap(knot.place, "both")
    done = step.do(CONTEXT)
    assert knot.holds("both", "A") == (["192.0.2.20"], 60)
    step.undo(CONTEXT, done.before, done.after)
    assert knot.holds("both", "A") == (["192.0.2.10", "192.0.2.11"], 120)


def test_undoing_a_record_that_was_not_there_removes_it(knot: Knot) -> None:
    step = swap(knot.place, "new")
    done = step.do(CONTEXT)
    assert done.before == {"values": [], "ttl": None} and knot.holds("new", "A") == (["192.0.2.20"], 60)
    step.undo(CONTEXT, done.before, done.after)
    assert knot.holds("new", "A") == ([], None)


def test_what_somebody_changed_since_is_not_undone(knot: Knot) -> None:
    step = swap(knot.place)
    done = step.do(CONTEXT)
    knot.edit("unset www A", "set www 60 A 192.0.2.77")
    with pytest.raises(NotDone, match=r"holds 192\.0\.2\.77 \(TTL 60 s\) and no longer 192\.0\.2\.20.*left alone"):
        step.undo(CONTEXT, done.before, done.after)
    assert knot.holds("www", "A") == (["192.0.2.77"], 60)


def test_undoing_without_a_record_of_what_was_is_refused(knot: Knot) -> None:
    with pytest.raises(NotDone, match="not recorded"):
        swap(knot.place).undo(CONTEXT, {}, {})


@pytest.mark.parametrize(
    ("label", "more", "holds"),
    [
        ("six", {"record_type": "AAAA", "values": ["2001:DB8:0::20"]}, (["2001:db8::20"], 60)),
        ("alias", {"record_type": "CNAME", "values": ["NS.example.test."]}, (["ns.example.test."], 60)),
        ("both", {"values": ["192.0.2.21", "192.0.2.10"]}, (["192.0.2.10", "192.0.2.21"], 60)),
    ],
)
def test_every_type_and_several_values(knot: Knot, label: str, more: dict[str, Any], holds: Any) -> None:
    swap(knot.place, label, **more).do(CONTEXT)
    assert knot.holds(label, more.get("record_type", "A")) == holds


@pytest.mark.parametrize("algorithm", ["hmac-sha384", "hmac-sha512"])
def test_the_other_algorithms(server: Knot, algorithm: str) -> None:
    with Knot(algorithm) as other:
        swap(other.place, key_algorithm=algorithm).do(CONTEXT)
        assert other.holds("www", "A") == (["192.0.2.20"], 60)


def test_what_is_so_already_is_not_written_again(line: Line) -> None:
    step = swap(line.place)
    step.do(CONTEXT)
    assert "already" in step.do(CONTEXT).output
    assert len(line.updates) == 1


def test_it_is_one_message_with_the_old_values_as_its_condition(line: Line) -> None:
    swap(line.place, "both").do(CONTEXT)
    (raw,) = line.updates
    message = dns.message.from_wire(raw, keyring=name_server(line.place).keyring)
    assert isinstance(message, dns.update.UpdateMessage) and message.had_tsig
    assert {data.to_text() for rrset in message.prerequisite for data in rrset} == {"192.0.2.10", "192.0.2.11"}
    assert {data.to_text() for rrset in message.update for data in rrset} == {"192.0.2.20"}


# --- It is refused, and nothing has changed -----------------------------------------------------------------------------
def test_other_values_than_expected_are_left_alone(line: Line) -> None:
    with pytest.raises(NotDone, match=r"holds 192\.0\.2\.10 \(TTL 300 s\) and not 192\.0\.2\.11") as refusal:
        swap(line.place, expected=["192.0.2.11"]).do(CONTEXT)
    assert refusal.value.before == {"values": ["192.0.2.10"], "ttl": 300} and not line.updates


def test_the_expected_values_in_any_order_let_it_pass(knot: Knot) -> None:
    swap(knot.place, "both", expected=["192.0.2.11", "192.0.2.10"]).do(CONTEXT)
    assert knot.holds("both", "A") == (["192.0.2.20"], 60)


def test_a_change_between_reading_and_writing_is_not_lost(line: Line) -> None:
    def somebody_is_faster() -> bool:
        line.knot.edit("unset www A", "set www 60 A 192.0.2.77")
        return True

    line.before = somebody_is_faster
    with pytest.raises(NotDone, match="changed by somebody else in this very moment"):
        swap(line.place).do(CONTEXT)
    assert line.knot.holds("www", "A") == (["192.0.2.77"], 60)


def test_a_value_added_between_reading_and_writing_is_not_lost(line: Line) -> None:
    def somebody_adds() -> bool:
        line.knot.edit("set www 300 A 192.0.2.11")
        return True

    line.before = somebody_adds
    with pytest.raises(NotDone, match="changed by somebody else"):
        swap(line.place).do(CONTEXT)
    assert line.knot.holds("www", "A") == (["192.0.2.10", "192.0.2.11"], 300)


def test_a_record_made_between_reading_and_writing_is_not_lost(line: Line) -> None:
    def somebody_makes_it() -> bool:
        line.knot.edit("set new 60 CNAME www")
        return True

    line.before = somebody_makes_it
    with pytest.raises(NotDone, match="changed by somebody else"):
        swap(line.place, "new").do(CONTEXT)
    assert line.knot.holds("new", "CNAME") == (["www.example.test."], 60)


def test_an_answer_out_of_a_wildcard_is_not_replaced(knot: Knot) -> None:
    with pytest.raises(NotDone, match="comes from a wildcard"):
        swap(knot.place, "shop.wild").do(CONTEXT)
    assert knot.holds("shop.wild", "A") == (["192.0.2.99"], 300)


def test_an_alias_is_not_taken_for_an_address(knot: Knot) -> None:
    with pytest.raises(NotDone, match="alias"):
        swap(knot.place, "alias").do(CONTEXT)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"key_secret": "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3I="}, "BADSIG"),
        ({"key_name": "nobody"}, "BADKEY"),
        ({"key_algorithm": "hmac-sha512"}, "BADKEY"),
        ({"key_name": READER, "key_secret": SECRETS[READER]}, "BADKEY.* may not do this"),
        ({"zone": "other.test", "name": "www.other.test"}, "does it keep it"),
    ],
)
def test_a_server_that_says_no_is_told_in_plain_words(line: Line, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NotDone, match=sentence):
        swap(line.place, **more).do(CONTEXT)
    assert line.knot.holds("www", "A") == (["192.0.2.10"], 300)


@pytest.mark.parametrize("code", dns_rfc2136.REFUSALS)
def test_every_refusal_has_a_plain_sentence_and_is_final(line: Line, code: str) -> None:
    line.instead = signed(code)
    with pytest.raises(NotDone) as refusal:
        swap(line.place).do(CONTEXT)
    assert str(refusal.value) == dns_rfc2136.REFUSALS[code] and len(line.updates) == 1


def test_a_server_that_is_not_there_is_known_before_anything_is_sent() -> None:
    with pytest.raises(NotDone, match="refuses the connection.*Nothing was changed"):
        swap("127.0.0.1:9").do(CONTEXT)


def test_a_forbidden_address_is_never_dialled() -> None:
    with pytest.raises(NotDone, match="Blocked.*link-local|Blocked.*metadata"):
        swap("169.254.169.254:53").do(CONTEXT)


def test_without_time_it_does_not_begin(line: Line) -> None:
    with pytest.raises(NotDone, match="too little time"):
        swap(line.place).do(replace(CONTEXT, until=CONTEXT.now() + timedelta(seconds=2)))
    assert not line.updates
