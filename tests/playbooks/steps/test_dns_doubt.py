"""When nobody can know whether the record moved, is that said, and nothing sent a second time?"""

from __future__ import annotations

import threading

import dns.message
import dns.name
import dns.rcode
import pytest

from playbooks.steps import dns_rfc2136
from playbooks.steps.base import NotDone, Unsure
from playbooks.steps.dns_records import RecordSet
from tests.playbooks.steps.knot import Knot, Line
from tests.playbooks.steps.moving import name_server, signed, swap
from tests.playbooks.steps.scene import CONTEXT

pytestmark = pytest.mark.once


@pytest.mark.parametrize("code", ["SERVFAIL", "BADVERS"])
def test_a_failure_of_the_server_leaves_it_unknown(line: Line, code: str) -> None:
    line.instead = signed(code)
    with pytest.raises(Unsure, match=f"{code}.*may still come"):
        swap(line.place).do(CONTEXT)
    assert len(line.updates) == 1


def test_a_server_that_says_yes_and_does_nothing_is_found_out(line: Line) -> None:
    line.instead = signed("NOERROR")
    with pytest.raises(Unsure, match=r"was confirmed, but now it holds 192\.0\.2\.10"):
        swap(line.place).do(CONTEXT)


def test_a_zone_that_the_server_does_not_keep_is_not_changed(knot: Knot) -> None:
    """Never reached after a read that was signed: so such a refusal, which nobody signs, proves nothing."""
    server = name_server(knot.place)
    server.zone = dns.name.from_text("test")
    with pytest.raises(Unsure, match="NOTAUTH, but the answer is not signed"):
        server.replace(RecordSet(("192.0.2.10",), 300), RecordSet(("192.0.2.20",), 60))
    assert knot.holds("www", "A") == (["192.0.2.10"], 300)


def test_a_lost_answer_is_made_good_by_reading_back(line: Line) -> None:
    line.after = lambda: False
    done = swap(line.place).do(CONTEXT)
    assert done.after == {"values": ["192.0.2.20"], "ttl": 60} and "Read back, it is done." in done.output
    assert len(line.updates) == 1


def test_a_lost_update_is_unknown_and_never_sent_again(line: Line) -> None:
    line.before = lambda: False
    with pytest.raises(Unsure, match="closed the connection without an answer.*may still come") as doubt:
        swap(line.place).do(CONTEXT)
    assert doubt.value.before == {"values": ["192.0.2.10"], "ttl": 300} and len(line.updates) == 1


def test_a_server_that_dies_in_the_middle_leaves_it_unknown(server: Knot) -> None:
    with Knot() as own, Line(own) as line:

        def dies() -> bool:
            own.kill()
            return False

        line.before = dies
        with pytest.raises(Unsure, match="cannot be read back either") as doubt:
            swap(line.place).do(CONTEXT)
        assert doubt.value.before == {"values": ["192.0.2.10"], "ttl": 300} and len(line.updates) == 1


def test_a_server_that_does_not_answer_in_time_leaves_it_unknown(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    server, released = name_server(line.place), threading.Event()
    old = server.read()

    def silent() -> bool:
        released.wait(60)
        return False

    line.before = silent
    monkeypatch.setattr(dns_rfc2136, "ANSWER", 0.3)
    try:
        with pytest.raises(Unsure, match="did not answer in time"):
            server.replace(old, RecordSet(("192.0.2.20",), 60))
    finally:
        released.set()


def refusal(message: bytes, answer: bytes) -> bytes:
    """REFUSED, by somebody on the way who does not have the key."""
    said = dns.message.make_response(dns.message.from_wire(message, keyring=False))
    said.tsig = None
    said.set_rcode(dns.rcode.REFUSED)
    return said.to_wire()


def test_a_refusal_that_is_not_signed_proves_nothing(line: Line) -> None:
    line.forge = lambda message, answer: refusal(message, answer) if line.updates else answer
    with pytest.raises(Unsure, match="REFUSED, but the answer is not signed"):
        swap(line.place).do(CONTEXT)
    assert line.knot.holds("www", "A") == (["192.0.2.20"], 60), "it had been done"


def test_what_is_read_has_to_be_signed(line: Line) -> None:
    def unsigned(message: bytes, answer: bytes) -> bytes:
        said = dns.message.from_wire(answer, keyring=False)
        said.tsig = None
        return said.to_wire()

    line.forge = unsigned
    with pytest.raises(NotDone, match="not signed with this key"):
        swap(line.place).do(CONTEXT)
    assert not line.updates
