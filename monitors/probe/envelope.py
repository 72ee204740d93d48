"""How does an order to act travel? One canonical text and one signature, by a key that is not the portal's own.

Whoever writes orders (`seal`) and whoever follows them (`opened`) share this file. It decides what an order is and who
signed it; whether this machine follows it is `monitors.probe.actions`.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

DOMAIN: Final = b"watchkeeper action v1\n"  # before what is signed: no other text of ours can be taken for an order
VERSION: Final = 1
LIFE: Final = 60  # seconds between issued and expires, at most
MOST_TEXT, MOST_JOB, MOST_PARAMS, MOST_VALUE = 8192, 80, 16, 200
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,59}")  # of an action and of a parameter
_HEX = re.compile(r"[0-9a-f]{64}")
_JOB = re.compile(rf"[!-~]{{1,{MOST_JOB}}}")
_LARGEST = 2**53  # what every JSON reader keeps exact


class Malformed(ValueError):
    """This is no order; the sentence says what does not fit."""


class Forged(Exception):
    """The signature is not that of the key that may give orders here."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One order to act, once."""

    probe: str  # whose: SHA-256 of its public key (base64), in hexadecimal; each enrolment makes another key
    tenant: int  # the client's id; 0 when it is nobody's in particular
    job: str  # unique among all orders
    action: str  # a name in the machine's own file
    params: dict[str, str | int | bool]
    plan_hash: str  # of the plan that this is a step of: SHA-256, hexadecimal
    issued: int  # seconds since 1970 by the portal's time
    expires: int
    counter: int  # rises with each order to this probe
    v: int = VERSION

    def text(self) -> str:
        """The one spelling. Malformed when a value does not fit."""
        _check(self)
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def _check(e: Envelope) -> None:
    """Malformed for the first value that does not fit."""
    whole = all(type(n) is int and 0 <= n < _LARGEST for n in (e.v, e.tenant, e.issued, e.expires, e.counter))
    for fits, sentence in (
        (whole, "v, tenant, issued, expires and counter are whole numbers from 0 on."),
        (e.v == VERSION, f"This is an order of version {e.v!r}; {VERSION} is known here."),
        (_fits(_HEX, e.probe), "probe: the SHA-256 of its public key, in hexadecimal."),
        (_fits(_HEX, e.plan_hash), "plan_hash: a SHA-256, in hexadecimal."),
        (_fits(_JOB, e.job), f"job: 1 to {MOST_JOB} letters, digits and signs without spaces."),
        (_fits(NAME, e.action), "action: a name of small letters, digits, - and _."),
        (whole and e.counter > 0, "counter: begins at 1."),
        (whole and 0 < e.expires - e.issued <= LIFE, f"expires: 1 to {LIFE} seconds after issued."),
        (type(e.params) is dict and len(e.params) <= MOST_PARAMS, f"params: at most {MOST_PARAMS}, by name."),
    ):
        if not fits:
            raise Malformed(sentence)
    for name, value in e.params.items():
        if not _fits(NAME, name):
            raise Malformed("params: names are small letters, digits, - and _.")
        if not _is_value(value):
            raise Malformed(f"params.{name}: a text of at most {MOST_VALUE} characters, a whole number, true or false.")


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_value(value: object) -> bool:
    if type(value) is str:
        return len(value) <= MOST_VALUE
    return type(value) is bool or (type(value) is int and -_LARGEST < value < _LARGEST)


def seal(envelope: Envelope, key: Ed25519PrivateKey) -> dict[str, str]:
    """The order as it travels. Malformed when a value does not fit."""
    text = envelope.text()
    if len(text) > MOST_TEXT:
        raise Malformed(f"An order has at most {MOST_TEXT} characters.")
    return {"envelope": text, "signature": base64.b64encode(key.sign(DOMAIN + text.encode())).decode()}


def opened(body: Any, public_key: Ed25519PublicKey) -> Envelope:
    """The order in a job's body. Forged unless `public_key` signed these very bytes; Malformed for what is no order.

    The signature comes first: nothing of what a stranger wrote is read.
    """
    text, signature = (body.get("envelope"), body.get("signature")) if isinstance(body, dict) else (None, None)
    if not isinstance(text, str) or not isinstance(signature, str):
        raise Malformed("An order has an envelope and a signature, both texts.")
    if len(text) > MOST_TEXT or len(signature) > 100:
        raise Malformed(f"An order has at most {MOST_TEXT} characters.")
    try:
        public_key.verify(base64.b64decode(signature, validate=True), DOMAIN + text.encode())
    except (InvalidSignature, ValueError):
        raise Forged("The order is not signed by a key that this machine takes orders from.") from None
    return _read(text)


def _read(text: str) -> Envelope:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("The envelope is not JSON.") from None
    if not isinstance(said, dict) or said.keys() != {f.name for f in fields(Envelope)}:
        raise Malformed("The envelope has not exactly the fields of an order.")
    envelope = Envelope(**said)
    if envelope.text() != text:
        raise Malformed("The envelope is not spelt in the one way.")
    return envelope
