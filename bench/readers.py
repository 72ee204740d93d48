"""How quickly are ten thousand readers owed a mail, and how late is a page to people meanwhile? (SPEC STP-4)"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import psycopg

from bench import stage
from tests.rig.mailbox import Mailbox
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey

_SEED = """
import django, sys, time; django.setup()
from datetime import timedelta
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.db import transaction
from alerts.models import Channel
from incidents.models import Incident
from portal.clock import database_now
from portal.models import Client
from statuspages import telling
from statuspages.models import Page, Publication, Subscriber
at, count = database_now(), int(sys.argv[1])
client = Client.objects.create(name="Acme")
page = Page.objects.create(client=client, name="Acme status", slug="acme")
Subscriber.objects.bulk_create([Subscriber(page=page, kind="email", address=f"r{n}@readers.example", address_hash=str(n), state="active", created_at=at, asked_at=at) for n in range(count)], batch_size=2000)
Channel.objects.create(name="On duty", type="email", client=client, config={"to": ["ana@acme.example"]})
incident = Incident.objects.create(client=client, title="Payments fail", created_at=at)
made = Publication.objects.create(page=page, incident=incident, published_at=at)
began = time.monotonic()
with transaction.atomic():
    told = telling.incident_news(made, what="opened", message="We are looking.", at=at)
print(told, time.monotonic() - began)
"""

_PAGE = """
import django; django.setup()
from django.db import transaction
from alerts.models import Channel, Delivery, Notice
from alerts.snapshot import moment
from portal import bells
from portal.clock import database_now
at, channel = database_now(), Channel.objects.get()
snap = {"kind": "opened", "event": "down", "type": "monitor.down", "severity": "critical", "title": "shop is down", "cause": "connection refused", "at": moment(at)}
with transaction.atomic():
    notice = Notice.objects.create(client=channel.client, kind="opened", event="down", type="monitor.down", severity="critical", snapshot=snap, created_at=at)
    Delivery.objects.create(notice=notice, kind="opened", destination_key=channel.destination_key, channel=channel, client=channel.client, priority=2, next_attempt_at=at, created_at=at)
    bells.ring_on_commit(bells.SEND)
"""


def run(count: int = 10_000, pages: int = 5, longest: float = 240) -> dict[str, Any]:
    """`count` readers of one page by mail; while their mails go out, `pages` pages by mail to the same client's people."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        pg, vk = stack.enter_context(Postgres(durable=True)), stack.enter_context(Valkey())
        mailbox = stack.enter_context(Mailbox())
        (directory / "trusted.pem").write_bytes(b"")
        mail = {
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mailbox.port),
            "SMTP_TLS": "none",
            "SMTP_FROM": "status@portal.example",
        }
        env = stage.ours(pg.create_database("bench"), vk.url(), directory) | {"SSL_CERT_FILE": "", **mail}
        seeded = subprocess.run(
            [sys.executable, "-c", _SEED, str(count)],
            env=env,
            cwd=stage.ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        told, seconds = seeded.stdout.split()[-2:]
        worker = stack.enter_context(stage.process("up", "--only", "page", env=env, log=directory / "log"))
        started = time.monotonic()
        mailbox.wait_for(20, within=60)
        began, begun = time.monotonic(), len(mailbox.mails)
        before = stage.cpu_seconds(stage.family(worker))
        for _ in range(pages):
            subprocess.run([sys.executable, "-c", _PAGE], env=env, cwd=stage.ROOT, check=True)
            time.sleep(1)
        while len(mailbox.mails) < count + pages and time.monotonic() - started < longest:
            time.sleep(0.5)
        lasted, sent = time.monotonic() - began, len(mailbox.mails) - begun
        spent = stage.cpu_seconds(stage.family(worker)) - before
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as db:
            late = [
                float(r[0])
                for r in db.execute(
                    "SELECT extract(epoch FROM t.at - make_interval(secs => t.duration_ms / 1000) - d.created_at) FROM alerts_attempt t"
                    " JOIN alerts_delivery d ON d.id = t.delivery_id WHERE d.channel_id IS NOT NULL ORDER BY 1"
                )
            ]
            (took,) = db.execute(
                "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) FROM alerts_attempt"
            ).fetchone() or (0,)
            states = dict(db.execute("SELECT state, count(*) FROM alerts_delivery GROUP BY 1").fetchall())
        return {
            "readers": int(told), "owed_in_s": round(float(seconds), 3), "mails_per_s": round(sent / lasted), "mail_ms": round(float(took or 0)), "cpu_ms_per_mail": round(spent / max(1, sent) * 1000, 1),
            "pages_late_s": [round(x, 3) for x in late], **states,
        }  # fmt: skip


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
