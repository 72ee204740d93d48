"""Start Watchkeeper: everything in one command, or one part of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """`manage.py up`."""

    help = "Start the portal: web, scheduler and workers. With REDIS_URL set they run as processes of their own."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--host", default=os.environ.get("HOST", "127.0.0.1"), help="address to listen on (default 127.0.0.1)"
        )
        parser.add_argument(
            "--port", type=int, default=int(os.environ.get("PORT", "8000")), help="port to listen on (default 8000)"
        )
        parser.add_argument("--data-dir", help="where the database and the keys live (default ./data)")
        parser.add_argument(
            "--only",
            choices=("web", "worker", "beat", "probe", "page"),
            help="one part: web, worker (probing and paging), probe, page, or beat",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from django.core.checks import Error, run_checks

        from portal import database, downgrade, people, running
        from portal.errors import Refused

        wanted = options["data_dir"]
        if (
            not os.environ.get("BASE_URL")
            and not os.environ.get("BASE_URL_FILE")
            and f"http://localhost:{options['port']}" != settings.BASE_URL
        ):
            os.environ["BASE_URL"] = f"http://localhost:{options['port']}"  # links and passkeys follow the port
            wanted = wanted or str(settings.DATA_DIR)
            again = True
        else:
            again = False
        if again or (wanted and Path(wanted).resolve() != settings.DATA_DIR):
            # Settings are read at import: begin anew with the directory in the environment.
            os.environ["DATA_DIR"] = str(Path(wanted or settings.DATA_DIR).resolve())
            arguments = ["up", "--host", options["host"], "--port", str(options["port"])] + (
                ["--only", options["only"]] if options["only"] else []
            )
            line = running.command(*arguments)
            os.execv(line[0], line)
        mistakes = [m for m in run_checks() if isinstance(m, Error)]
        if mistakes:
            raise CommandError("\n".join(str(m) for m in mistakes))
        try:
            downgrade.refuse_newer()
        except Refused as error:
            raise CommandError(str(error)) from None
        database.prepare()
        only = options["only"]
        if only == "web":
            running.web(options["host"], options["port"])
        elif only == "worker" and not settings.ONE_MACHINE:
            running.Supervisor({name: running.command("up", "--only", name) for name in ("probe", "page")}).run()
        elif only in ("probe", "page", "worker"):
            running.worker(set(running.QUEUES) if only == "worker" else {only})
        elif only == "beat":
            running.run_beat()
        else:
            self._everything(options["host"], options["port"], people, running)

    def _everything(self, host: str, port: int, people: Any, running: Any) -> None:
        self.stdout.write(
            f"Watchkeeper: {settings.BASE_URL}  (listening on {host}:{port}, data in {settings.DATA_DIR})"
        )
        link = people.setup_link()
        if link:
            self.stdout.write(self.style.SUCCESS(f"First visit: {link}  (makes the owner; works once, for a day)"))
        self.stdout.write("Stop with Ctrl-C.")
        self.stdout.flush()
        if settings.ONE_MACHINE:
            try:
                running.one_process(host, port)
            except OSError as error:
                raise CommandError(
                    f"Port {port} on {host} cannot be used ({error.strerror}); choose another with --port."
                ) from None
        else:
            commands = {"web": running.command("up", "--only", "web", "--host", host, "--port", str(port))}
            commands |= {name: running.command("up", "--only", name) for name in ("probe", "page", "beat")}
            running.Supervisor(commands).run()
