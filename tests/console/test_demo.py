"""What a newcomer watches in the first three minutes: does the demo tell its story, truly and to the end?"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from console.demo.mailbox import Mailbox
from console.demo.serving import Street
from portal import smtp

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(ROOT / "manage.py"), "demo", "--patience", "1"]
STEPS = (
    "up",
    "broken",
    "failure seen",
    "confirmed",
    "alert",
    "incident",
    "told",
    "mail",
    "your turn",
    "acknowledged",
    "mended",
    "recovery seen",
    "alert resolved",
    "incident resolved",
)


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """An environment that the demo must not let itself be troubled by, and a place for its directory."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "TMPDIR": str(tmp_path),
        "DATA_DIR": str(tmp_path / "data"),
        "SMTP_HOST": "mail.invalid",
        "DATABASE_URL": "nonsense://",
    }


@pytest.mark.once
def test_the_story_is_told_to_its_end_and_leaves_nothing(surroundings, tmp_path):
    done = subprocess.run(
        [*COMMAND, "--once", "--act", "1"], capture_output=True, text=True, timeout=500, env=surroundings, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line[20:].strip() for line in done.stdout.splitlines() if re.match(r"\d\d:\d\d:\d\d ", line)]
    places = [next(n for n, line in enumerate(said) if line.startswith(step)) for step in STEPS]
    assert places == sorted(places), done.stdout
    assert "[Down] Acme · Shop" in done.stdout and "[Recovered] Acme · Shop" in done.stdout
    assert re.search(r"Sign in as \S+ \(owner\).* password \S+", done.stdout)
    assert not list(tmp_path.glob("watchkeeper-demo-*"))


@pytest.mark.once
@pytest.mark.soak
def test_ctrl_c_ends_it_cleanly_and_its_pages_answer_before(surroundings, tmp_path):
    child = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=surroundings)
    try:
        assert child.stdout is not None
        first = child.stdout.readline()
        portal, mailbox = re.findall(r"http://\S+", first)
        until = time.monotonic() + 240
        while "broken" not in child.stdout.readline():
            assert time.monotonic() < until and child.poll() is None
        for url, text in ((f"{portal}/login/", b'name="password"'), (mailbox, b"Mailbox")):
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as page:
                assert text in page.read()
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=180)
        assert child.returncode == 0, rest
        assert "Traceback" not in rest, rest
    finally:
        if child.poll() is None:
            child.kill()
            child.wait(60)
    assert not list(tmp_path.glob("watchkeeper-demo-*"))


@pytest.mark.once
def test_the_mailbox_keeps_a_mail_and_shows_it_without_running_it():
    street = Street()
    try:
        box = Mailbox(street)
        server = smtp.Server("127.0.0.1", box.smtp_port, "", "", tls="none")
        mail = b"From: a@x.example\r\nTo: b@x.example\r\nSubject: <b>Hi</b>\r\n\r\n.one dot\r\n<script>alert(1)</script>\r\n"
        smtp.send(server, "a@x.example", ["b@x.example"], mail, seconds=60)
        (kept,) = box.mails
        assert kept.recipients == ("b@x.example",) and kept.part("plain").startswith(".one dot")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(box.url + "0", timeout=60) as page:
            text = page.read().decode()
            assert (
                "&lt;b&gt;Hi" in text
                and "<script>" not in text
                and "default-src 'none'" in page.headers["Content-Security-Policy"]
            )
        with opener.open(box.url, timeout=60) as page:
            assert b"1 so far" in page.read()
    finally:
        street.close()


@pytest.mark.once
def test_nothing_of_the_demo_is_imported_by_the_portal():
    script = "import django, sys; django.setup(); import portal.urls; print([m for m in sys.modules if m.startswith('console.demo')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=180, check=True
    )
    assert done.stdout.strip() == "[]"
