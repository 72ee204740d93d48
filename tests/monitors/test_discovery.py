"""What is on this network? Only where its machine allows it, only its own subnets, slowly; and people choose what is watched."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Interface, ip_network

import pytest

from monitors import discovery, remote
from monitors.models import Monitor, Probe, ProbeJob
from monitors.probe import discovery as looking
from monitors.probe import jobs
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Client
from tests import cast
from tests.rig.netns import Net, Space
from tests.rig.process import NotAvailable

ANA = Actor("Ana")
LAN, LOOP, WAN, BIG = (IPv4Interface(a) for a in ("192.168.7.9/24", "127.0.0.1/8", "81.2.69.5/24", "10.20.30.40/8"))


# --- Where may it look? -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("allowed", "own", "networks"),
    [
        ("own", [LAN], ["192.168.7.0/24"]),
        ("own", [LAN, LOOP, WAN], ["192.168.7.0/24"]),  # never itself, never the public side
        ("own", [BIG], ["10.20.28.0/22"]),  # of a huge subnet the part it stands in
        ("192.168.7.64/26", [LAN], ["192.168.7.64/26"]),  # the machine allows a part
        ("192.168.0.0/16", [LAN], ["192.168.7.0/24"]),  # what is allowed beyond its own subnet stays untouched
    ],
)
def test_only_its_own_private_subnets_and_of_those_what_the_machine_allows(allowed, own, networks):
    assert looking.chosen(own, allowed) == [ip_network(n) for n in networks]


@pytest.mark.parametrize(
    ("allowed", "own", "says"),
    [("", [LAN], "does not allow"), ("own", [WAN, LOOP], "no private network"), ("10.0.0.0/8", [LAN], "no private network"), ("lan", [LAN], "mistyped")],
)  # fmt: skip
def test_a_machine_that_does_not_allow_it_says_how_it_would(allowed, own, says):
    with pytest.raises(looking.NotAllowed, match=says):
        looking.chosen(own, allowed)


def test_the_portal_cannot_say_where_to_look(monkeypatch):
    """The job's body is not read: an address in it changes nothing."""
    monkeypatch.setenv(looking.VARIABLE, "")
    state, said = asyncio.run(jobs.carry_out({"kind": "discover", "body": {"networks": ["192.0.2.0/24"]}}, {}))
    assert state == "refused"
    assert looking.VARIABLE in said["why"]


# --- A real network ---------------------------------------------------------------------------------------------------
@pytest.fixture
def lan() -> Iterator[tuple[Net, Space, Space]]:
    """A probe and a machine beside it on 10.44.5.0/28."""
    try:
        with Net() as net:
            probe, nas = net.space("probe"), net.space("nas")
            net.wire(probe, "10.44.5.2/28", nas, "10.44.5.3/28")
            yield net, probe, nas
    except NotAvailable as why:
        pytest.skip(f"NOT RUN: {why}")


@pytest.mark.once
def test_a_neighbour_is_found_by_its_open_ports_and_by_what_it_says(lan):
    _, probe, nas = lan
    (probe.etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    with nas.inside():
        web, ssh = socket.create_server(("10.44.5.3", 80)), socket.create_server(("10.44.5.3", 22))
    for server, words in (
        (web, b"HTTP/1.0 200 OK\r\n\r\n<title>NAS &amp; <b>more</title>"),
        (ssh, b"SSH-2.0-Test\r\n"),
    ):
        threading.Thread(target=_answer, args=(server, words), daemon=True).start()
    program = (
        "import asyncio, json; from monitors.probe import discovery, jobs; discovery.PER_SECOND = 200; "
        "print(json.dumps(asyncio.run(jobs.carry_out({'kind': 'discover', 'body': {}}, {}))))"
    )
    said = probe.run("env", f"{looking.VARIABLE}=own", sys.executable, "-c", program)
    state, said = json.loads(said)
    web.close(), ssh.close()
    assert state == "done", said
    assert said["networks"] == ["10.44.5.0/28"]
    assert said["asked"] == 13  # fourteen addresses, one of them its own
    (host,) = said["hosts"]
    assert host["address"] == "10.44.5.3"
    assert host["hardware"].count(":") == 5
    assert host["ports"] == {"22": "SSH-2.0-Test", "80": "NAS & <b>more"}


def _answer(server: socket.socket, words: bytes) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):  # to its end: closed with something unread, the words might be lost
                continue


# --- What is proposed -------------------------------------------------------------------------------------------------
RESULT = {
    "networks": ["192.168.7.0/24"], "asked": 253, "took_s": 41.5, "cut": False,
    "hosts": [
        {"address": "192.168.7.4", "name": "nas.lan", "hardware": "", "ports": {"443": "NAS", "22": "SSH-2.0"}},
        {"address": "192.168.7.1", "name": "", "hardware": "", "ports": {}},
    ],
}  # fmt: skip


def test_open_ports_become_monitors_that_fit_them():
    found = {p.key: (p.kind, p.name, p.said) for p in discovery.proposals(RESULT)}
    assert found == {
        "192.168.7.4:443": ("http", "nas.lan Website (https)", "NAS"),
        "192.168.7.4:22": ("ssh", "nas.lan SSH", "SSH-2.0"),
        "192.168.7.4:ping": ("icmp", "nas.lan Ping", ""),
        "192.168.7.1:ping": ("icmp", "192.168.7.1 Ping", ""),
    }


@pytest.mark.parametrize(
    "hosts",
    [
        "no list", [None], [{"address": "8.8.8.8", "ports": {"80": ""}}], [{"address": "127.0.0.1", "ports": {"80": ""}}], [{"address": "169.254.169.254", "ports": {"80": ""}}],
        [{"address": "192.168.7.4; rm", "ports": {}}], [{"address": ["192.168.7.4"]}],
    ],
)  # fmt: skip
def test_whatever_a_probe_says_only_private_addresses_are_proposed(hosts):
    assert discovery.proposals({"hosts": hosts}) == []


def test_strange_ports_and_words_are_left_out():
    host = {
        "address": "192.168.7.4",
        "name": 7,
        "ports": {"99999": "", "x": "", "-1": "", "²": "", "22": ["list"], "80": "a\x00b\nc"},
    }
    found = discovery.proposals({"hosts": [host]})
    assert [(p.key, p.said) for p in found if p.kind != "icmp"] == [("192.168.7.4:22", ""), ("192.168.7.4:80", "a b c")]


# --- Asked for, and chosen ----------------------------------------------------------------------------------------------
@pytest.fixture
def acme(db: object) -> Client:
    return cast.acme()


@pytest.fixture
def inside(acme: Client) -> Probe:
    """Acme's enrolled private probe."""
    return Probe.objects.create(
        name="HQ", slug="hq", client=acme, public_key="k", enrolled_at=database_now(), last_seen_at=database_now()
    )


def finished(probe: Probe) -> ProbeJob:
    at = database_now()
    job = discovery.ask(probe, by=ANA, at=at)
    ProbeJob.objects.filter(pk=job.pk).update(state="done", result=RESULT, finished_at=at)
    job.refresh_from_db()
    return job


@pytest.mark.django_db
def test_a_region_is_not_sent_to_look(acme):
    with pytest.raises(Refused, match="private probe"):
        discovery.ask(Probe.objects.get(slug="local"), by=ANA, at=database_now())


@pytest.mark.django_db
def test_one_look_at_a_time(inside):
    discovery.ask(inside, by=ANA, at=database_now())
    with pytest.raises(Refused, match="already"):
        discovery.ask(inside, by=ANA, at=database_now())


@pytest.mark.django_db
def test_the_chosen_ones_are_watched_from_the_probe_that_found_them(acme, inside):
    job = finished(inside)
    made = discovery.accept(job, ["192.168.7.4:443", "192.168.7.1:ping"], client=acme, by=ANA, at=database_now())
    assert [(m.kind, list(m.views.values_list("probe__slug", flat=True))) for m in made] == [("http", ["hq"]), ("icmp", ["hq"])]  # fmt: skip
    again = {p.key: p.watched for p in discovery.found_by(job)}
    assert again["192.168.7.4:443"] and again["192.168.7.1:ping"] and not again["192.168.7.4:22"]


@pytest.mark.django_db
def test_a_look_into_acmes_network_makes_nothing_for_globex(acme, inside):
    with pytest.raises(Refused, match="another client"):
        discovery.accept(finished(inside), ["192.168.7.4:22"], client=cast.globex(), by=ANA, at=database_now())
    assert not Monitor.objects.filter(client=cast.globex(), kind="ssh").exists()


@pytest.mark.django_db
def test_an_older_probe_that_does_not_know_it_is_said_in_words(inside):
    job = remote.ask(inside, "discover", {}, key="k", by="Ana", at=database_now(), within=discovery.LOOK_FOR)
    assert job.kind == discovery.KIND
    state, said = asyncio.run(jobs.carry_out({"kind": "newer", "body": {}}, {}))
    assert (state, "does not know" in said["why"]) == ("refused", True)
