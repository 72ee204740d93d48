"""Show it: a site that breaks on its own, from the first failing check to "resolved"; then a firewall, and people approve the repair."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

STAGE = "WATCHKEEPER_DEMO_STAGE"  # the demo's own directory, named once its environment is set


class Command(BaseCommand):
    """`manage.py demo`."""

    help = (
        "Start the portal with two small clients and a local mailbox, break a site, and show each step as it happens."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=0, help="port of the portal (default: 8010, or a free one)")
        parser.add_argument(
            "--once", action="store_true", help="end when the story has been told; exit code 1 if it was not"
        )
        parser.add_argument(
            "--patience", type=float, default=15.0, help="seconds before the demo acknowledges for you (default 15)"
        )
        parser.add_argument(
            "--act", type=int, choices=(1, 2), help="play this act only: 1, a site breaks; 2, a firewall dies and people approve the repair"
        )  # fmt: skip
        parser.add_argument(
            "--screenshots", metavar="DIR", help="keep pictures of the second act's pages there (Chromium)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stage = os.environ.get(STAGE, "")
        if not stage or Path(stage) != settings.DATA_DIR:
            begin_anew(options)
        atexit.register(shutil.rmtree, stage, ignore_errors=True)  # registered first, so it runs last
        code = self.play(Path(stage), options)
        if code:
            raise CommandError("The story was not told to its end.", returncode=code)

    def play(self, directory: Path, options: dict[str, Any]) -> int:
        """Everything, in this process; returns the exit code."""
        from celery import signals

        from console.demo import cast, failover, stage
        from console.demo.mailbox import Mailbox
        from console.demo.serving import HOST, Street
        from console.demo.site import Site, certificate
        from console.demo.story import Story
        from console.demo.telling import NeverHappened
        from portal import database, running

        logging.getLogger("watchkeeper").setLevel(logging.WARNING)
        street = Street()
        tls, _ = certificate(directory)
        mailbox = Mailbox(street, settings.SMTP["port"])
        shop, api, other = Site(street, "Acme shop"), Site(street, "Acme API", tls=tls), Site(street, "Globex portal")
        database.prepare()
        players = cast.gather(shop, api, other)
        self.say(f"Watchkeeper demo: {settings.BASE_URL}   mailbox: {mailbox.url}")
        self.say(
            f"Sign in as {cast.OWNER} (owner), {cast.STAFF} (staff) or {cast.CLIENT} (Acme's own), password {players.password}"
        )
        self.say("Stop with Ctrl-C; nothing of it stays.\n")
        outcome = [1 if options["once"] else 0]
        acts = [options["act"]] if options["act"] else [1, 2]
        second = failover.Failover(
            players, street, directory, mailbox, self.say, patience=options["patience"], pictures=pictures(options)
        )

        def narrate() -> None:
            from django.db import connection

            try:
                if 1 in acts:
                    Story(players, shop, mailbox, self.say, patience=options["patience"]).tell()
                    outcome[0] = 0
                if 2 in acts and (lacking := stage.missing(directory)):
                    self.say(f"\nsecond act NOT RUN: {lacking}")
                elif 2 in acts:
                    ready.wait(60)
                    self.say("\nThe second act: a client's firewall dies, and people approve the repair.\n")
                    second.tell()
                    outcome[0] = 0
                self.say(
                    "\nThat was it. The portal stays up: look around, break nothing."
                    if not options["once"]
                    else "\nThat was it."
                )
            except NeverHappened as error:
                if not second.closed:  # else the reader has stopped it
                    outcome[0] = 1
                    self.say(f"\nThe story stops here: {str(error).rstrip('.')}.")
            finally:
                connection.close()
                if options["once"]:
                    ready.wait(60)  # before that, nobody listens to the signal
                    os.kill(os.getpid(), signal.SIGTERM)

        ready = threading.Event()
        signals.worker_ready.connect(lambda **_: ready.set(), weak=False)
        # Its probes take their leave while there is still a portal to hear them.
        signals.worker_shutting_down.connect(lambda **_: second.close(), weak=False)
        threading.Thread(target=narrate, name="demo-story", daemon=True).start()
        try:
            running.one_process(HOST, int(settings.BASE_URL.rpartition(":")[2]))
        except (KeyboardInterrupt, SystemExit):
            pass
        finally:
            second.close()
            street.close()
        return outcome[0]

    def say(self, line: str) -> None:
        """Print at once, also into a pipe."""
        self.stdout.write(line)
        self.stdout.flush()


def pictures(options: dict[str, Any]) -> Path | None:
    """Where pictures go, made if need be; None when nobody wants any."""
    if not options["screenshots"]:
        return None
    directory = Path(options["screenshots"])
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def begin_anew(options: dict[str, Any]) -> None:
    """Settings are read at import: start this program again with an environment of the demo's own. Does not return."""
    from portal import running

    directory = tempfile.mkdtemp(prefix="watchkeeper-demo-")
    for name in [n for n in os.environ if n.endswith("_FILE")]:
        del os.environ[name]
    os.environ |= {
        STAGE: directory, "DATA_DIR": directory, "BASE_URL": f"http://localhost:{options['port'] or free(8010)}", "DATABASE_URL": "", "REDIS_URL": "",
        "SECRET_KEY": "", "ENCRYPTION_KEYS": "", "SLACK_WEBHOOK_URL": "", "HEARTBEAT_URL": "", "ALLOWED_HOSTS": "",
        "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(free()), "SMTP_USER": "", "SMTP_PASSWORD": "", "SMTP_TLS": "none", "SMTP_FROM": "Watchkeeper <watchkeeper@msp.example>",
        "DIAGNOSIS_RESOLVERS": "", "ACTION_SIGNING_KEY": "", "ACTION_PUBLIC_KEY": "",
        "OUTBOUND_ALLOW": "127.0.0.0/8,::1/128", "SSL_CERT_FILE": f"{directory}/demo-ca.pem",
    }  # fmt: skip
    words = ["demo", "--patience", str(options["patience"])] + (["--once"] if options["once"] else [])
    words += ["--act", str(options["act"])] if options["act"] else []
    words += ["--screenshots", str(Path(options["screenshots"]).absolute())] if options["screenshots"] else []
    line = running.command(*words)
    os.execv(line[0], line)


def free(wanted: int = 0) -> int:
    """A port on loopback that nobody has: the wanted one, if it is free."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
