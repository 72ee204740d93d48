"""How is a name answered, and by whom not? Against a whole little DNS in a namespace."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from monitors.diagnosis import questions
from monitors.diagnosis.names import Naming
from monitors.diagnosis.questions import Question, Reply, Server
from tests.diagnosis.conftest import WELL
from tests.outbound.nameserver import SILENT, NameServer

alone = pytest.mark.alone
pytestmark = pytest.mark.once


def names(seen: dict[str, Any], name: str) -> dict[str, Any]:
    """The evidence on one name of ASKED."""
    found: dict[str, Any] = seen[name]["names"]
    return found


def owners(found: dict[str, Any]) -> dict[str, str]:
    """What each owner said."""
    return {answer["server"]: answer["status"] for answer in found["authoritative"]}


@alone
def test_a_name_that_is_well_is_told_by_resolver_control_and_owners(seen: dict[str, Any]) -> None:
    found = names(seen, "www.well")
    assert (found["system"]["status"], found["system"]["addresses"], found["system"]["ttl"]) == ("ok", [WELL], 300)
    assert (found["control"]["status"], found["control"]["asked"]) == ("ok", "text.well.example")  # an anchor's name
    assert owners(found) == {"ns1.well.example 10.0.8.12": "ok", "ns2.well.example 10.0.8.13": "ok"}
    assert found["delegation"]["status"] == "ok"
    assert found["delegation"]["parent"] == found["delegation"]["child"] == ["ns1.well.example", "ns2.well.example"]


@alone
def test_other_resolvers_are_told_apart_and_forbidden_ones_not_asked(seen: dict[str, Any]) -> None:
    answers = {answer["server"]: answer for answer in names(seen, "www.well")["resolvers"]}
    assert {server: answer["status"] for server, answer in answers.items()} == {
        "10.0.8.5": "refused", "10.0.8.6": "ok", "10.0.8.4": "timeout", "192.0.2.1": "not_run", "-x; reboot": "not_run",
    }  # fmt: skip
    assert answers["10.0.8.6"]["addresses"] == ["10.9.0.66"]  # another answer than the owners': the judge's business
    assert answers["192.0.2.1"]["why"].startswith("Blocked")


@alone
def test_an_alias_is_followed_and_named(seen: dict[str, Any]) -> None:
    system = names(seen, "alias.well")["system"]
    assert (system["cname"], system["addresses"]) == (["www.well.example"], [WELL])


@alone
@pytest.mark.parametrize(
    ("name", "system", "delegation", "said"),
    [
        ("text.well", "nodata", "ok", {"nodata"}),  # the name is there, an address is not
        ("missing.well", "nxdomain", "ok", {"nxdomain"}),  # the owners themselves deny it
        ("www.lame", "servfail", "lame", {"lame"}),  # who is named does not know the zone
        ("www.broken", "servfail", "ok", {"servfail"}),
        ("www.silent", "timeout", "ok", {"timeout"}),
        ("www.uneven", "ok", "mismatch", {"ok"}),  # the zone above names others than the zone itself
        ("www.gone", "nxdomain", "missing", {"ok", "nxdomain"}),  # former owners answer, the registry denies
        ("www.müller", "nxdomain", "missing", {"nxdomain"}),
    ],
)
def test_each_way_to_fail_has_its_word(
    seen: dict[str, Any], name: str, system: str, delegation: str, said: set[str]
) -> None:
    found = names(seen, name)
    assert (found["system"]["status"], found["delegation"]["status"]) == (system, delegation)
    assert set(owners(found).values()) == said
    assert found["control"]["status"] == "ok"  # the resolver itself is well: it is this name


@alone
def test_a_lost_delegation_names_the_zone_who_denies_it_and_who_still_answers(seen: dict[str, Any]) -> None:
    found = names(seen, "www.gone")
    lost = {"zone": "gone.example", "parent": [], "child": ["ns1.gone.example"], "status": "missing", "said_by": "example"}  # fmt: skip
    assert found["delegation"] == lost
    assert owners(found) == {"a.registry.example 10.0.8.11": "nxdomain", "ns1.gone.example 10.0.8.17": "ok"}


@alone
def test_a_zone_whose_servers_are_all_silent_is_found_through_the_zone_above(seen: dict[str, Any]) -> None:
    found = names(seen, "www.silent")
    assert found["delegation"]["zone"] == "silent.example"
    assert owners(found) == {"ns1.silent.example 10.0.8.15": "timeout"}


@alone
def test_dnssec_is_secure_insecure_or_bogus(seen: dict[str, Any]) -> None:
    said = {name: names(seen, name)["system"].get("dnssec") for name in ("signed.well", "www.well", "www.bogus")}
    assert said == {"signed.well": "secure", "www.well": "insecure", "www.bogus": "bogus"}
    assert names(seen, "www.bogus")["system"]["status"] == "servfail"


@alone
def test_a_name_server_at_a_forbidden_address_is_told_and_not_asked(seen: dict[str, Any]) -> None:
    (answer,) = names(seen, "www.lured")["authoritative"]
    assert (answer["server"], answer["status"]) == ("ns1.lured.example", "not_run")
    assert answer["why"].startswith("Blocked")


@alone
def test_hosts_files_count_as_they_do_for_every_program(seen: dict[str, Any]) -> None:
    system = names(seen, "written-down")["system"]
    assert (system["status"], system["addresses"]) == ("ok", [WELL])


@alone
def test_names_are_asked_for_as_the_wire_has_them_and_impossible_ones_not_at_all(seen: dict[str, Any]) -> None:
    assert names(seen, "www.müller")["name"] == "www.xn--mller-kva.example"
    too_long = names(seen, "x" * 300)
    assert (too_long["system"]["status"], too_long["system"]["why"]) == ("not_run", "The host name is too long.")
    assert "not a name" in names(seen, "well")["system"]["why"]


# --- On loopback --------------------------------------------------------------------------------------------------------
def place(server: NameServer) -> Server:
    """Where it listens."""
    host, _, port = server.address.rpartition(":")
    return Server(host, int(port))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is believed after a fifth of a second."""
    monkeypatch.setitem(questions.ask.__kwdefaults__, "seconds", 0.1)


@pytest.mark.usefixtures("impatient")
def test_a_resolver_that_answers_nothing_is_dead_and_not_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> Naming:
        naming = Naming("www.shop.example", lambda address: None, controls=["independent.example"])
        dead = dict.fromkeys(("www.shop.example", "shop.example", "example", "independent.example"), SILENT)
        async with NameServer(dead) as server:
            monkeypatch.setattr(questions, "local", lambda: questions.Local([place(server)]))
            await naming.run()
        return naming

    found = asyncio.run(look()).found
    assert (found["system"]["status"], found["control"]["status"]) == ("timeout", "timeout")


@pytest.mark.usefixtures("impatient")
def test_a_resolver_that_remembers_the_root_but_lost_the_world_fails_the_control(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look() -> Naming:
        naming = Naming("www.shop.example", lambda address: None)
        async with NameServer({"": []}) as server:
            heard = server.datagram_received
            # Only the root is answered; whatever would have to be asked for elsewhere is not.
            monkeypatch.setattr(server, "datagram_received", lambda data, addr: heard(data, addr) if data[12] == 0 else None)  # fmt: skip
            monkeypatch.setattr(questions, "local", lambda: questions.Local([place(server)]))
            await naming.run()
        return naming

    control = asyncio.run(look()).found["control"]
    assert control["status"] == "timeout"
    assert control["asked"].endswith(".example")  # type: ignore[typeddict-item]


def test_an_answer_to_another_question_is_passed_over() -> None:
    async def look() -> Reply:
        async with NameServer({"www.shop.example": ["192.0.2.7"]}) as server:
            send = server._transport.sendto

            def twice(data: bytes, addr: Any) -> None:
                send(bytes((data[0] ^ 0xFF, *data[1:])), addr)
                send(data, addr)

            server._transport.sendto = twice  # type: ignore[method-assign]
            return await questions.ask(place(server), Question("www.shop.example"), tries=1)

    assert asyncio.run(look()).values("A") == ["192.0.2.7"]


def test_nobody_listening_is_unreachable_at_once() -> None:
    async def look() -> Reply:
        async with NameServer() as server:
            gone = place(server)
        await asyncio.sleep(0.01)
        return await questions.ask(gone, Question("www.shop.example"), seconds=5)

    assert asyncio.run(look()).status == "unreachable"


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example", "a" * 300])
def test_what_cannot_be_asked_is_not_asked(name: str) -> None:
    assert asyncio.run(questions.ask(Server("127.0.0.1", 9), Question(name))).status == "not_run"
