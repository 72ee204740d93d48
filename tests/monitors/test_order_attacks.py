"""What can whoever owns the portal have a probe do? Nothing. The real program, over HTTP, against a portal that is an enemy's.

He has the portal's own key, speaks for it, sets its time, keeps back what was ordered and hands out whatever he likes; only
the key that orders are signed with is not his. Every attack runs nothing (the program that would run counts itself), is
reported with its reason, and stands in the probe's own log.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitors.probe import envelope, identity
from monitors.probe.envelope import Envelope
from monitors.probe.orders import Orders
from tests.monitors.acting_stage import GOOD, PLAN, Place
from tests.monitors.test_acting_whole import Obedient
from tests.monitors.test_remote_whole import until

pytestmark = pytest.mark.once
ME = 4  # the probe's number
OURS, THEIRS = 7, 8  # clients' numbers; the machine's file names the first
FAR = 2**53 - 1


class Enemy(ThreadingHTTPServer):
    """A portal in wrong hands: answers are signed as they should be, and say what its owner wants."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key = Ed25519PrivateKey.generate()
        self.ahead = 0.0  # seconds that it says it is later than it is
        self.jobs: list[dict[str, Any]] = []  # to be handed out with the next answer
        self.ends: dict[int, dict[str, Any]] = {}  # what the probe said of each
        self.probe_key, self.heard = "", 0
        self.numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def token(self) -> str:
        """To enrol with."""
        return identity.token_of("x" * 43, identity.public_of(self.key))

    def answer(self, method: str, path: str, said: dict[str, Any]) -> dict[str, Any]:
        """What it says to one request."""
        match path.split("/"):
            case ["enroll"]:
                self.probe_key = said["public_key"]
                return {"id": ME, "slug": "berlin", "portal_key": identity.public_of(self.key)}
            case ["hello"]:
                return {"result_seq": 0, "id": ME, "slug": "berlin", "name": "Berlin"}
            case ["work"]:
                self.heard += 1
                jobs, self.jobs = self.jobs, []
                return {"monitors": [], "anchors": [], "rush": [], "jobs": jobs, "private": False}
            case ["jobs", number]:
                self.ends[int(number)] = said
                return {"state": said["state"]}
        return {"result_seq": 0, "late": 0, "dropped": 0}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Enemy

    def _any(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        packed = self.headers.get("Content-Encoding") == "gzip"
        path = self.path.removeprefix(identity.PREFIX)
        body = json.dumps(
            self.server.answer(self.command, path, json.loads(asked) if asked and not packed else {})
        ).encode()
        at_ms = round((time.time() + self.server.ahead) * 1000)
        who = (0, 0) if path == "enroll" else (ME, int(self.headers[identity.COUNTER]))
        text = identity.answer_text(*who, asked, 200, at_ms, body)
        self.send_response(200)
        for name, value in ((identity.TIME, at_ms), (identity.SIGNATURE, identity.sign(self.server.key, text)), ("Content-Length", len(body))):  # fmt: skip
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _any

    def log_message(self, *_: object) -> None:
        """Nothing."""


@dataclass
class Siege:
    """The machine, its probe's program, and the portal that is an enemy's."""

    enemy: Enemy
    place: Place
    program: Obedient
    counters: Iterator[int] = field(default_factory=lambda: itertools.count(10, 10))

    def order(self, **more: Any) -> Envelope:
        """What would be followed, unless told otherwise."""
        now, counter = int(time.time()), next(self.counters)
        good = Envelope(probe=identity.digest(self.enemy.probe_key.encode()), tenant=OURS, job=f"run-{counter}", action="clean", params=GOOD, plan_hash=PLAN, issued=now, expires=now + 60, counter=counter)  # fmt: skip
        return replace(good, **more)

    def sealed(self, **more: Any) -> dict[str, str]:
        """The same, signed by the key of orders."""
        return envelope.seal(self.order(**more), self.place.signer)

    def signed(self, text: str, key: Ed25519PrivateKey | None = None, domain: bytes = envelope.DOMAIN) -> dict[str, str]:  # fmt: skip
        """Any text, signed."""
        return {"envelope": text, "signature": b64encode((key or self.place.signer).sign(domain + text.encode())).decode()}  # fmt: skip

    def hand(self, body: Any, kind: str = "act") -> dict[str, Any]:
        """Have it handed to the probe as a job; what the probe says became of it."""
        number = next(self.enemy.numbers)
        self.enemy.jobs.append({"id": number, "kind": kind, "body": body, "expires_ms": FAR})
        until(lambda: number in self.enemy.ends, "word of the job")
        return self.enemy.ends[number]

    def begins(self) -> None:
        """The program runs, has asked for work, and remembers orders from now on."""
        before = self.enemy.heard
        self.program.start()
        until(lambda: self.enemy.heard > before, "the program to ask for work")
        assert self.hand({}, "noop")["state"] == "done"

    @property
    def log(self) -> str:
        return (self.program.home.parent / "probe.log").read_text()


def besieged(home: Path) -> Iterator[Siege]:
    """A machine whose file allows `clean` for one client; its probe was enrolled when the portal was not yet the enemy's."""
    (machine := home / "machine").mkdir(mode=0o755)
    place = Place(machine)
    place.allow(head=f"tenant = {OURS}")
    with Enemy() as enemy:
        threading.Thread(target=enemy.serve_forever, daemon=True).start()
        program = Obedient(enemy.url, home / "probe")
        program.place = place
        siege = Siege(enemy, place, program)
        assert "Enrolled as berlin" in program.call("enroll", enemy.url, enemy.token()).stdout
        with closing(Orders(program.home / "spool.sqlite3")) as orders:
            orders.begin_memory(time.time() - 3600)  # as of a probe that has been there for an hour
        siege.begins()
        yield siege
        program.end()
        enemy.shutdown()
        print(siege.log)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Of one machine for the whole table: the siege, and the one order that was right and was followed."""
    for siege in besieged(tmp_path_factory.mktemp("siege")):
        followed = siege.sealed()
        end = siege.hand(followed)
        assert (end["state"], siege.place.ran) == ("done", ["--kind|logs|7|shop.example|"]), end
        yield {"siege": siege, "followed": followed}


@pytest.fixture
def siege(tmp_path: Path) -> Iterator[Siege]:
    """A machine for one test, which does more than hand out jobs."""
    yield from besieged(tmp_path)


# --- The table ------------------------------------------------------------------------------------------------------------
Attack = Callable[[Siege, dict[str, str]], Any]


def reworded(old: str, new: str) -> Attack:
    """The order that was followed, with other words under the same signature."""
    return lambda s, followed: {**followed, "envelope": _other(followed["envelope"], old, new)}


def _other(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def given(**more: Any) -> Attack:
    """Signed by the right key, for something that the machine's file does not allow."""
    return lambda s, _: s.sealed(**more)


def of_another_time(seconds: int) -> Attack:
    return lambda s, _: s.sealed(issued=int(time.time()) + seconds, expires=int(time.time()) + seconds + 60)


def for_an_hour(s: Siege, _: dict[str, str]) -> dict[str, str]:
    said = json.loads(s.order().text())
    return s.signed(json.dumps({**said, "expires": said["issued"] + 3600}, sort_keys=True, separators=(",", ":")))


ATTACKS: dict[str, tuple[Attack, str]] = {
    # Without the key of orders.
    "forged signature": (lambda s, _: {**s.sealed(), "signature": "A" * 86 + "=="}, "not signed by a key"),
    "signed by a key of his own": (lambda s, _: s.signed(s.order().text(), Ed25519PrivateKey.generate()), "not signed by a key"),
    "signed by the key of the portal's answers": (lambda s, _: s.signed(s.order().text(), s.enemy.key), "not signed by a key"),
    "signed bytes that are no order": (lambda s, _: s.signed(s.order().text(), domain=b""), "not signed by a key"),
    "not signed at all": (lambda s, _: {"envelope": s.order().text()}, "an envelope and a signature"),
    "a command line in place of an order": (lambda s, _: {"argv": ["/bin/sh", "-c", "reboot"]}, "an envelope and a signature"),
    "other parameters": (reworded('"days":7', '"days":8'), "not signed by a key"),
    "another action": (reworded('"clean"', '"wipe"'), "not signed by a key"),
    "made to live longer": (reworded('"expires":', '"expires":1'), "not signed by a key"),
    "a higher counter": (reworded('"counter":', '"counter":9'), "not signed by a key"),
    # What was signed once, for another time, another place or another purpose.
    "replayed": (lambda s, followed: followed, "here before"),
    "the same order written anew": (lambda s, followed: s.sealed(job=json.loads(followed["envelope"])["job"]), "here before"),
    "a counter that does not rise": (lambda s, followed: s.sealed(counter=json.loads(followed["envelope"])["counter"]), "A later order was here"),
    "reordered": (given(counter=1), "A later order was here"),
    "expired": (of_another_time(-61), "expired"),
    "from the future": (of_another_time(60), "in the future"),
    "valid for an hour": (for_an_hour, "1 to 60 seconds"),
    "for another probe": (given(probe=identity.digest(b"paris")), "for another probe"),
    "for another client": (given(tenant=THEIRS), "for another client"),
    # By whoever may order, beyond what the machine's administrator allows.
    "unknown action": (given(action="reboot", params={}), "no action 'reboot'"),
    "extra parameter": (given(params={**GOOD, "then": "reboot"}), "no parameter 'then'"),
    "missing parameter": (given(params={"kind": "logs", "days": 7}), "'site' is missing"),
    "parameter out of range": (given(params={**GOOD, "days": 31}), "from 1 to 30"),
    "parameter of another type": (given(params={**GOOD, "days": "7"}), "from 1 to 30"),
    "path trick": (given(params={**GOOD, "site": "../../etc"}), "a word that fits"),
    "option in place of a word": (given(params={**GOOD, "site": "-rf"}), "not beginning with -"),
}  # fmt: skip


@pytest.mark.parametrize("what", ATTACKS)
def test_nothing_runs_and_the_refusal_is_reported(held: dict[str, Any], what: str) -> None:
    attack, reason = ATTACKS[what]
    siege: Siege = held["siege"]
    end = siege.hand(attack(siege, held["followed"]))
    assert end["state"] == "refused" and reason in end["result"]["why"], end
    assert len(siege.place.ran) == 1, "the order that was right, once"
    assert end["result"]["why"] in siege.log


@pytest.mark.parametrize("minutes", [-5, 5])
def test_a_portal_that_turns_its_clock_makes_no_order_valid(held: dict[str, Any], minutes: int) -> None:
    """An order that he kept back until its time was over, or one for later: the machine's own clock has to agree."""
    siege: Siege = held["siege"]
    then = int(time.time()) + minutes * 60
    siege.enemy.ahead = minutes * 60.0
    try:
        end = siege.hand(siege.sealed(issued=then - 1, expires=then + 59))
    finally:
        siege.enemy.ahead = 0.0
    assert end["state"] == "refused" and "s apart; set them (NTP)" in end["result"]["why"], end
    assert len(siege.place.ran) == 1


def test_after_all_that_the_right_order_is_still_followed(held: dict[str, Any]) -> None:
    """Attacks use nothing up but themselves."""
    siege: Siege = held["siege"]
    for what in ("forged signature", "replayed", "expired", "for another client", "unknown action"):
        siege.hand(ATTACKS[what][0](siege, held["followed"]))
    before = len(siege.place.ran)
    assert siege.hand(siege.sealed())["state"] == "done" and len(siege.place.ran) == before + 1


# --- After a reinstallation -------------------------------------------------------------------------------------------------
def test_enrolled_anew_it_follows_nothing_that_was_ordered_before(siege: Siege) -> None:
    kept_back = siege.sealed()
    siege.program.end()
    siege.program.call("enroll", "--force", siege.enemy.url, siege.enemy.token())
    siege.begins()
    end = siege.hand(kept_back)
    assert end["state"] == "refused" and "an earlier enrolment" in end["result"]["why"] and not siege.place.ran


def test_with_its_old_key_on_an_empty_disk_it_follows_nothing_that_was_ordered_before(siege: Siege) -> None:
    """What it did before is forgotten with the disk, so what was ordered then may have been followed already."""
    kept_back = siege.sealed()
    assert siege.hand(kept_back)["state"] == "done" and len(siege.place.ran) == 1
    siege.program.end()
    for file in siege.program.home.glob("spool.sqlite3*"):
        file.unlink()
    until(lambda: int(time.time()) > json.loads(kept_back["envelope"])["issued"], "the next second")
    siege.begins()
    end = siege.hand(kept_back)
    assert end["state"] == "refused" and "before this probe could remember orders" in end["result"]["why"]
    assert len(siege.place.ran) == 1
    fresh = siege.sealed(issued=int(time.time()) + 1, expires=int(time.time()) + 61)
    assert siege.hand(fresh)["state"] == "done" and len(siege.place.ran) == 2
