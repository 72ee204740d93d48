"""Does the ssh check greet, and believe a host key only from the server that holds it?"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydantic import ValidationError

from monitors import checks
from monitors.checks.base import Status, limit
from tests.checks.lab import Listener, check, closed_port, patience, says
from tests.checks.misbehaving import TROUBLES, suffer
from tests.rig.process import free_port
from tests.rig.sshd import HostKey, Sshd, fingerprint, packed, text

pytestmark = pytest.mark.once

ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS: dict[str, HostKey] = {
    "ssh-ed25519": ED25519,
    "ecdsa-sha2-nistp256": ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-sha2-nistp384": ec.generate_private_key(ec.SECP384R1()),
    "ecdsa-sha2-nistp521": ec.generate_private_key(ec.SECP521R1()),
    "rsa-sha2-512": RSA,
    "rsa-sha2-256": RSA,
}
SOME = "SHA256:" + "A" * 43


def at(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, **more}


def test_greeting_and_algorithms() -> None:
    server = Sshd(keys=KEYS, greeting=b"Welcome\r\nSSH-2.0-Rig_1.0 for tests\r\n")
    with Listener(server.converse) as listener:
        well = check("ssh", at(listener.port, expect="Rig_1"))
        unwell = check("ssh", at(listener.port, expect="OpenSSH"))
    assert well.status == Status.UP and well.facts["banner"] == "SSH-2.0-Rig_1.0 for tests", well
    assert well.facts["algorithms"]["host_key"] == list(KEYS) and "host_key" not in well.facts
    assert well.connect_ms is not None and well.first_byte_ms is not None
    assert (unwell.status, unwell.error_class) == (Status.FAILING, "content")
    assert server.chosen == [], "without a fingerprint there is no key exchange"


@pytest.mark.parametrize("exchange", ["curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"])
@pytest.mark.parametrize("algorithm", list(KEYS))
def test_the_right_host_key(algorithm: str, exchange: str) -> None:
    server = Sshd(keys={algorithm: KEYS[algorithm]}, exchanges=(exchange,))
    with Listener(server.converse) as listener:
        outcome = check("ssh", at(listener.port, fingerprint=fingerprint(KEYS[algorithm])))
    assert outcome.status == Status.UP and "holds the host key" in outcome.message, outcome
    assert server.chosen == [exchange, algorithm]


def test_the_type_of_the_key_can_be_chosen() -> None:
    server = Sshd(keys=KEYS)
    with Listener(server.converse) as listener:
        outcome = check("ssh", at(listener.port, fingerprint=fingerprint(RSA), key_type="rsa"))
        without = check("ssh", at(listener.port, fingerprint=fingerprint(RSA)))
    assert outcome.status == Status.UP, outcome
    assert without.error_class == "content" and fingerprint(ED25519) in without.message, "it says which key was shown"


def test_another_host_key_is_failing() -> None:
    with Listener(Sshd(keys=KEYS).converse) as listener:
        outcome = check("ssh", at(listener.port, fingerprint=SOME))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "content"), outcome
    assert outcome.facts["host_key"] == fingerprint(ED25519)


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "rsa-sha2-512", "ecdsa-sha2-nistp256"])
def test_the_right_key_shown_by_somebody_who_does_not_hold_it(algorithm: str) -> None:
    others: dict[str, HostKey] = {
        "ssh-ed25519": ed25519.Ed25519PrivateKey.generate(),
        "rsa-sha2-512": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ecdsa-sha2-nistp256": ec.generate_private_key(ec.SECP256R1()),
    }
    server = Sshd(keys={algorithm: KEYS[algorithm]}, signs_with=others[algorithm])
    with Listener(server.converse) as listener:
        outcome = check("ssh", at(listener.port, fingerprint=fingerprint(KEYS[algorithm])))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "protocol"), outcome
    assert "prove" in outcome.message


def test_packets_that_mean_nothing_are_passed_over() -> None:
    server = Sshd(keys=KEYS, before_reply=(b"\x02" + text(b"noise"), b"\x04\0" + text(b"hm") + text(b"")))
    with Listener(server.converse) as listener:
        outcome = check("ssh", at(listener.port, fingerprint=fingerprint(ED25519)))
    assert outcome.status == Status.UP, outcome


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Sshd(keys=KEYS, exchanges=("diffie-hellman-group14-sha256",)), "no key exchange"),
        (Sshd(keys={"ssh-dss": ED25519}), "no host key of the wanted type"),
    ],
)
def test_a_server_with_which_nothing_is_in_common(server: Sshd, words: str) -> None:
    with Listener(server.converse) as listener:
        outcome = check("ssh", at(listener.port, fingerprint=SOME))
        plain = check("ssh", at(listener.port))
    assert outcome.status == Status.FAILING and words in outcome.message, outcome
    assert plain.status == Status.UP, "without a fingerprint that does not matter"


HELLO = b"SSH-2.0-x\r\n"


@pytest.mark.parametrize(
    ("words", "error_class"),
    [
        (b"220 mail\r\n" * 30, "protocol"),
        (b"SSH-1.5-old\r\n", "protocol"),
        (b"SSH-2.0-" + b"x" * 400 + b"\r\n", "protocol"),
        (HELLO + b"\xff\xff\xff\xff", "too_large"),
        (HELLO + bytes(4), "protocol"),
        (HELLO + packed(b"\x14" + bytes(16) + b"\0\0\xff\xff"), "protocol"),
        (HELLO + packed(b"\x01" + bytes(12)), "reset"),
        (HELLO + packed(b"\x02") * 30, "protocol"),
        (HELLO + packed(b"\x15"), "protocol"),
        (HELLO, "timeout"),
    ],
)
def test_wrong_answers(words: bytes, error_class: str) -> None:
    with Listener(says(words)) as listener:
        outcome = check("ssh", at(listener.port, fingerprint=SOME), timeout=patience(error_class))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome


@pytest.mark.parametrize("trouble", TROUBLES)
def test_servers_that_are_not_well(trouble: str) -> None:
    suffer(trouble, "ssh", lambda port: at(port, fingerprint=SOME))


def test_refused_and_upside_down() -> None:
    outcome = check("ssh", at(closed_port()))
    assert outcome.error_class == "connect_refused" and limit(outcome, upside_down=True).status == Status.UP


@pytest.mark.parametrize("wrong", ["MD5:aa:bb", "SHA256:short", "SHA256:" + "A" * 44, "AAAA"])
def test_fingerprints_of_another_form_are_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="ssh-keygen"):
        checks.parse("ssh", {"host": "gw.example.com", "fingerprint": wrong})


@pytest.mark.parametrize("key_type", ["ed25519", "ecdsa", "rsa"])
def test_a_real_openssh(tmp_path: Path, key_type: str) -> None:
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    maker = shutil.which("ssh-keygen")
    if not program or not maker:
        pytest.skip("NOT RUN: sshd is not installed")
    subprocess.run([maker, "-q", "-t", key_type, "-N", "", "-f", str(tmp_path / "key")], check=True)
    port = free_port()
    settings = (
        f"Port {port}\nListenAddress 127.0.0.1\nListenAddress ::1\nHostKey {tmp_path}/key\nPidFile {tmp_path}/pid\n"
    )
    (tmp_path / "conf").write_text(settings)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([program, "-D", "-E", str(tmp_path / "log"), "-f", str(tmp_path / "conf")])
    try:
        blob = base64.b64decode((tmp_path / "key.pub").read_text().split()[1])
        pinned = "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        outcome = None
        for _ in range(100):
            outcome = check("ssh", at(port, fingerprint=pinned, key_type=key_type, expect="OpenSSH"))
            if outcome.error_class != "connect_refused" or server.poll() is not None:
                break
            time.sleep(0.05)
        if server.poll() is not None:
            pytest.skip(f"NOT RUN: sshd does not start here ({(tmp_path / 'log').read_text()[:100].strip()})")
        assert outcome and outcome.status == Status.UP, outcome
        assert check("ssh", at(port, host="::1")).status == Status.UP
    finally:
        server.terminate()
        server.wait(10)
