"""Does the record move at Cloudflare and Route 53: in one act, with everything else of it kept, and never twice?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from playbooks.steps.base import NotDone, Unsure
from playbooks.steps.dns_swap import DnsSwap
from tests.playbooks.steps.scene import CONTEXT, made
from tests.playbooks.steps.vendors import NAME, ZONE, CloudflareZone, HostedZone
from tests.rig import answers
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once
ABOUT = {"zone": ZONE, "name": NAME, "values": ["192.0.2.20"], "ttl": 60}
Serve = Callable[[Any], Receiver]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda zone: stack.enter_context(Receiver(judge=zone.judge))


def cloudflare(server: Receiver, **more: Any) -> DnsSwap:
    given = {
        "provider": "cloudflare",
        "zone_id": CloudflareZone.ID,
        "token": CloudflareZone.TOKEN,
        "endpoint": server.url("/client/v4"),
    }
    return made("dns_swap", **{**ABOUT, **given, **more})  # type: ignore[return-value]


def route53(server: Receiver, **more: Any) -> DnsSwap:
    given = {
        "provider": "route53", "zone_id": HostedZone.ID, "access_key_id": HostedZone.KEY, "secret_access_key": HostedZone.SECRET, "endpoint": server.url(),
    }  # fmt: skip
    return made("dns_swap", **{**ABOUT, **given, **more})  # type: ignore[return-value]


# --- Cloudflare -----------------------------------------------------------------------------------------------------------
def test_cloudflare_moves_the_record_and_keeps_its_id(serve: Serve) -> None:
    zone = CloudflareZone(("A", "192.0.2.10", 300, False), ("AAAA", "2001:db8::1", 300, False))
    done = cloudflare(serve(zone)).do(CONTEXT)
    assert zone.holds() == [("A", "192.0.2.20", 60, False), ("AAAA", "2001:db8::1", 300, False)]
    assert done.before == {"values": ["192.0.2.10"], "ttl": 300} and done.after == {"values": ["192.0.2.20"], "ttl": 60}
    assert [list(batch) for batch in zone.batches] == [["patches"]]


def test_cloudflare_makes_and_removes_records_in_the_same_act_and_undo_restores_them(serve: Serve) -> None:
    zone = CloudflareZone(
        ("A", "192.0.2.10", 300, False), ("A", "192.0.2.11", 300, False), ("A", "192.0.2.12", 300, False)
    )
    first = zone.holds()
    step = cloudflare(serve(zone), values=["192.0.2.11", "192.0.2.20"])
    done = step.do(CONTEXT)
    assert zone.holds() == [("A", "192.0.2.11", 60, False), ("A", "192.0.2.20", 60, False)] and len(zone.batches) == 1
    step.undo(CONTEXT, done.before, done.after)
    assert zone.holds() == first and len(zone.batches) == 2


def test_cloudflare_keeps_records_proxied(serve: Serve) -> None:
    zone = CloudflareZone(("A", "192.0.2.10", 1, True))
    step = cloudflare(serve(zone))
    done = step.do(CONTEXT)
    assert zone.holds() == [("A", "192.0.2.20", 1, True)] and "proxied" in done.output
    step.undo(CONTEXT, done.before, done.after)
    assert zone.holds() == [("A", "192.0.2.10", 1, True)]


def test_cloudflare_a_record_that_was_not_there_is_made_and_undone(serve: Serve) -> None:
    zone = CloudflareZone()
    step = cloudflare(serve(zone), record_type="CNAME", values=["standby.example.test"])
    done = step.do(CONTEXT)
    assert zone.holds() == [("CNAME", "standby.example.test", 60, False)]
    step.undo(CONTEXT, done.before, done.after)
    assert zone.holds() == []


def test_cloudflare_a_record_deleted_meanwhile_stops_everything(serve: Serve) -> None:
    zone = CloudflareZone(("A", "192.0.2.10", 300, False), ("A", "192.0.2.11", 300, False))
    zone.before_change = lambda: zone.records.pop(next(iter(zone.records)))
    with pytest.raises(NotDone, match=r"HTTP 404: Record does not exist\. \(81044\)\. Nothing was changed"):
        cloudflare(serve(zone)).do(CONTEXT)
    assert zone.holds() == [("A", "192.0.2.11", 300, False)]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"token": "another-token-that-is-wrong"}, r"Authentication error \(10000\)"),
        ({"zone_id": "ffffffffffffffffffffffffffffffff"}, "Could not route to this path"),
        ({"ttl": 30}, "Invalid TTL"),
        ({"expected": ["192.0.2.99"]}, "left alone|nothing was changed"),
        ({"record_type": "CNAME", "values": ["standby.example.test"]}, "already exists"),
    ],
)
def test_cloudflare_says_no(serve: Serve, more: dict[str, Any], sentence: str) -> None:
    zone = CloudflareZone(("A", "192.0.2.10", 300, False))
    with pytest.raises(NotDone, match=sentence):
        cloudflare(serve(zone), **more).do(CONTEXT)
    assert zone.holds() == [("A", "192.0.2.10", 300, False)]


def test_cloudflare_records_that_differ_among_themselves_are_left_alone(serve: Serve) -> None:
    zone = CloudflareZone(("A", "192.0.2.10", 300, False), ("A", "192.0.2.11", 1, True))
    with pytest.raises(NotDone, match="make them alike first"):
        cloudflare(serve(zone)).do(CONTEXT)


# --- Route 53 -------------------------------------------------------------------------------------------------------------
def test_route53_deletes_exactly_what_was_read_and_creates_the_new_set_in_one_batch(serve: Serve) -> None:
    zone = HostedZone()
    zone.sets[NAME, "A"] = (["192.0.2.11", "192.0.2.10"], 300)
    zone.sets["zzz.example.test", "A"] = (["192.0.2.1"], 60)
    step = route53(serve(zone))
    done = step.do(CONTEXT)
    assert zone.batches == [[("DELETE", NAME, ["192.0.2.11", "192.0.2.10"], 300), ("CREATE", NAME, ["192.0.2.20"], 60)]]
    assert zone.sets[NAME, "A"] == (["192.0.2.20"], 60) and "change C2682N5HXP0BZ4" in done.output
    step.undo(CONTEXT, done.before, done.after)
    assert sorted(zone.sets[NAME, "A"][0]) == ["192.0.2.10", "192.0.2.11"] and zone.sets[NAME, "A"][1] == 300


def test_route53_a_set_that_was_not_there_is_created_and_undone(serve: Serve) -> None:
    zone = HostedZone()
    zone.sets["zzz.example.test", "A"] = (["192.0.2.1"], 60)  # what a list from our name on begins with
    step = route53(serve(zone))
    done = step.do(CONTEXT)
    assert done.before["values"] == [] and zone.sets[NAME, "A"] == (["192.0.2.20"], 60)
    step.undo(CONTEXT, done.before, done.after)
    assert set(zone.sets) == {("zzz.example.test", "A")}


def test_route53_an_alias_is_deleted_in_its_own_spelling(serve: Serve) -> None:
    zone = HostedZone()
    zone.sets[NAME, "CNAME"] = (["First.Example.Test."], 300)
    route53(serve(zone), record_type="CNAME", values=["second.example.test"]).do(CONTEXT)
    assert zone.sets[NAME, "CNAME"] == (["second.example.test"], 60)


def test_route53_another_region_signs_for_it(serve: Serve) -> None:
    zone = HostedZone(region="cn-northwest-1")
    route53(serve(zone), region="cn-northwest-1").do(CONTEXT)
    assert zone.sets[NAME, "A"] == (["192.0.2.20"], 60)


def test_route53_a_change_between_reading_and_writing_is_not_lost(serve: Serve) -> None:
    zone = HostedZone()
    zone.sets[NAME, "A"] = (["192.0.2.10"], 300)
    zone.before_change = lambda: zone.sets.update({(NAME, "A"): (["192.0.2.77"], 300)})
    with pytest.raises(NotDone, match="Somebody else changed it in this very moment"):
        route53(serve(zone)).do(CONTEXT)
    assert zone.sets[NAME, "A"] == (["192.0.2.77"], 300)


def test_route53_a_set_made_between_reading_and_writing_is_not_lost(serve: Serve) -> None:
    zone = HostedZone()
    zone.before_change = lambda: zone.sets.update({(NAME, "A"): (["192.0.2.77"], 300)})
    with pytest.raises(NotDone, match="Somebody else changed it in this very moment"):
        route53(serve(zone)).do(CONTEXT)
    assert zone.sets[NAME, "A"] == (["192.0.2.77"], 300)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"secret_access_key": "another"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "AKIDOTHER"}, "InvalidClientTokenId"),
        ({"zone_id": "ZOTHER"}, "NoSuchHostedZone"),
    ],
)
def test_route53_says_no(serve: Serve, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NotDone, match=sentence):
        route53(serve(HostedZone()), **more).do(CONTEXT)


@pytest.mark.parametrize(
    "special",
    [
        "<AliasTarget><HostedZoneId>Z2</HostedZoneId><DNSName>lb.example.test.</DNSName><EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>",
        "<SetIdentifier>blue</SetIdentifier><Weight>10</Weight><TTL>60</TTL>",
    ],
)
def test_route53_aliases_and_routing_policies_are_left_alone(serve: Serve, special: str) -> None:
    zone = HostedZone()
    zone.sets[NAME, "A"], zone.special = (["192.0.2.10"], 60), special
    with pytest.raises(NotDone, match="routing policy"):
        route53(serve(zone)).do(CONTEXT)
    assert not zone.batches


def test_route53_xml_with_a_document_type_is_not_read(serve: Serve) -> None:
    server = serve(HostedZone())
    server.behave(EVERYWHERE, answers.ok(b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'))
    with pytest.raises(NotDone, match="not Route 53's answer"):
        route53(server).do(CONTEXT)


# --- Both: what is known and what is not -----------------------------------------------------------------------------------
def zone_with_a_record(provider: str) -> tuple[Any, Callable[..., DnsSwap], str]:
    if provider == "cloudflare":
        return (
            CloudflareZone(("A", "192.0.2.10", 300, False)),
            cloudflare,
            f"/client/v4/zones/{CloudflareZone.ID}/dns_records/batch",
        )
    zone = HostedZone()
    zone.sets[NAME, "A"] = (["192.0.2.10"], 300)
    return zone, route53, f"/2013-04-01/hostedzone/{HostedZone.ID}/rrset/"


both = pytest.mark.parametrize("provider", ["cloudflare", "route53"])


@both
@pytest.mark.parametrize("failure", [answers.accept_then_cut(), answers.status(500), answers.status(504)])
def test_a_change_that_was_not_answered_is_unknown_and_never_sent_again(
    serve: Serve, provider: str, failure: Any
) -> None:
    zone, step, path = zone_with_a_record(provider)
    server = serve(zone)
    server.behave(path, failure)
    with pytest.raises(Unsure, match="the change may still come") as doubt:
        step(server).do(CONTEXT)
    assert len(server.at(path)) == 1 and doubt.value.before == {"values": ["192.0.2.10"], "ttl": 300}


@both
def test_a_change_that_was_done_and_not_answered_is_made_good_by_reading_back(serve: Serve, provider: str) -> None:
    zone, step, path = zone_with_a_record(provider)
    real = zone.judge
    zone.judge = lambda call: (real(call), answers.accept_then_cut())[1] if call.method == "POST" else real(call)
    server = serve(zone)
    done = step(server).do(CONTEXT)
    assert done.after == {"values": ["192.0.2.20"], "ttl": 60} and "Read back, it is done." in done.output
    assert len(server.at(path)) == 1


@both
def test_a_provider_that_is_not_there_is_known_before_anything_is_sent(serve: Serve, provider: str) -> None:
    zone, step, _ = zone_with_a_record(provider)
    server = serve(zone)
    server.refuse()
    with pytest.raises(NotDone, match="cannot be asked.*Nothing was changed"):
        step(server).do(CONTEXT)


@both
def test_no_key_comes_back_in_what_people_read(serve: Serve, provider: str) -> None:
    zone, step, path = zone_with_a_record(provider)
    server = serve(zone)
    secret = CloudflareZone.TOKEN if provider == "cloudflare" else HostedZone.SECRET
    server.behave(path, answers.status(400, f"no such key: {secret}"))
    with pytest.raises(NotDone, match="no such key") as refusal:
        step(server).do(CONTEXT)
    assert secret not in str(refusal.value)
