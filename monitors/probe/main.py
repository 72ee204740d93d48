"""What can one do with a probe? `enroll` it with a token of the portal, `run` it, ask its `status`.

It needs one way out: HTTPS to the portal. It listens on nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from monitors.probe import actions, identity
from monitors.probe.actions import Acts
from monitors.probe.allowed import NotAllowed
from monitors.probe.clock import Clock
from monitors.probe.identity import Identity, NotEnrolled
from monitors.probe.link import LinkDown, Refused, enroll
from monitors.probe.orders import Orders
from monitors.probe.plan import Networks
from monitors.probe.runner import VERSION, Courier, Runner
from monitors.probe.spool import Spool
from monitors.running import allow_many_sockets

ENVIRONMENT = """environment:
  WATCHKEEPER_PROBE_HOME  its directory, when --data-dir is not given
  HTTPS_PROXY             the way to the portal leads through this proxy, as http://user:password@proxy.example:3128
  NO_PROXY                hosts that are reached without it, comma-separated
  SSL_CERT_FILE           certificate authorities (PEM) to trust in place of the machine's own, for the portal and for checks
  OUTBOUND_ALLOW          networks that checks may reach although they are not public, when --allow is not given
  LOG_LEVEL               DEBUG, INFO, WARNING (INFO)
  WATCHKEEPER_PROBE_ACTIONS        the file of what this machine may be asked to do (/etc/watchkeeper/actions.toml)
  WATCHKEEPER_PROBE_ACTIONS_OWNER  self: that file may belong to this program's own user in place of root

The proxy is for the way to the portal only; checks go straight to what they check."""


def default_directory() -> Path:
    """Where its key and its results are."""
    if named := os.environ.get("WATCHKEEPER_PROBE_HOME"):
        return Path(named)
    return Path("/var/lib/watchkeeper-probe") if os.geteuid() == 0 else Path.home() / ".watchkeeper-probe"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    about = argparse.ArgumentParser(
        prog="watchkeeper-probe", description=__doc__.splitlines()[0], epilog=ENVIRONMENT, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    about.add_argument("--version", action="version", version=f"watchkeeper-probe {VERSION}")
    about.add_argument("--data-dir", type=Path, default=default_directory(), help="its key and results (%(default)s)")
    verbs = about.add_subparsers(dest="verb", required=True)
    new = verbs.add_parser("enroll", help="leave this probe's key with the portal, once")
    new.add_argument("url", help="the portal's address, as https://portal.example")
    new.add_argument("token", help="from the portal: Probes, the probe, New token")
    new.add_argument("--force", action="store_true", help="replace the identity that is there")
    run = verbs.add_parser("run", help="watch, until a signal ends it")
    run.add_argument("--most", type=int, default=2000, help="checks under way at once (%(default)s)")
    run.add_argument(
        "--allow", default=os.environ.get("OUTBOUND_ALLOW", ""), help="networks that may be reached although they are not public, as 127.0.0.0/8"
    )  # fmt: skip
    verbs.add_parser("status", help="is it running, and does the portal hear it?")
    may = verbs.add_parser("actions", help="what may the portal ask to be done here?")
    may.add_argument("--check", action="store_true", help="also: could each be carried out by this user now?")
    return about


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = parser().parse_args(arguments)
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO").upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if given.verb == "actions":
        return _actions(given.check)
    try:
        given.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        match given.verb:
            case "enroll":
                return _enroll(given.data_dir, given.url, given.token, given.force)
            case "run":
                return _run(given.data_dir, given.most, _networks(given.allow))
            case _:
                return _status(given.data_dir)
    except (NotEnrolled, LinkDown, Refused, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{given.data_dir}: {error.strerror}", file=sys.stderr)
        return 1


def _networks(text: str) -> Networks:
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def _enroll(directory: Path, url: str, token: str, force: bool) -> int:
    if (directory / identity.FILE).exists() and not force:
        raise NotEnrolled(f"{directory / identity.FILE} exists: this probe is enrolled. --force replaces it.")
    who = enroll(url, token, socket.gethostname()[:120], Clock())
    path = who.save(directory)
    print(f"Enrolled as {who.slug}; its key is in {path}.")
    print(f"Fingerprints: this probe {identity.fingerprint(identity.public_of(who.key))}, the portal {identity.fingerprint(who.portal_key)}.")  # fmt: skip
    return 0


def _run(directory: Path, most: int, allow: Networks) -> int:
    who = Identity.load(directory)
    with (directory / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"Another watchkeeper-probe runs on {directory}.", file=sys.stderr)
            return 1
        allow_many_sockets()
        clock, spool, orders = Clock(), Spool(directory / "spool.sqlite3"), Orders(directory / "spool.sqlite3")
        runner = Runner(who.probe, clock, spool, most=most, allow=allow)
        courier = Courier(who, clock, spool, runner, Acts(who, clock, orders), directory)
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        runner.start()
        courier.start()
        ended.wait()
        runner.stop()
        runner.join(10)
        courier.stop()
        courier.join(15)
        spool.close()
    return 0


def _status(directory: Path) -> int:
    who = Identity.load(directory)
    print(f"Enrolled as {who.slug} at {who.url} (key {identity.fingerprint(identity.public_of(who.key))}).")
    try:
        said = json.loads((directory / "status.json").read_text())
    except (OSError, ValueError):
        said = None
    running = said is not None and _locked(directory)
    if not running:
        print("Not running.")
        return 1
    print(f"Running (pid {said['pid']}); " + ("the portal hears it." if said["connected"] else f"the portal does not hear it: {said['trouble']}"))  # fmt: skip
    for name in ("monitors", "checks_per_s", "spool", "lost", "blind", "clock_offset_ms", "memory_mb"):
        print(f"  {name} {said[name]}")
    why = said.get("actions_why")
    print(f"  actions {len(said.get('actions', ()))}" + (f" ({why})" if why else ""))
    return 0 if said["connected"] else 2


def _actions(check: bool) -> int:
    """What the machine's file allows: 1 when it is not to be believed, 2 when something allowed could not be done."""
    try:
        for line in actions.listing():
            print(line)
        found = list(actions.faults()) if check else []
    except NotAllowed as why:
        print(f"Every order is refused. {why}", file=sys.stderr)
        return 1
    for line in found:
        print(line, file=sys.stderr)
    return 2 if found else 0


def _locked(directory: Path) -> bool:
    with (directory / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
