"""Does an SSH server greet, which algorithms does it offer, and is it the host it should be?

The host key is looked at only when a fingerprint is given: then the key exchange (RFC 4253, 8731, 5656) goes as far as
the server's signature, which proves that it holds the key. Nobody signs in.
"""

import base64
import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pydantic import AfterValidator, Field

from .base import AnswerConfig, Check, CheckFailed, Context, Host, Outcome, Port, Status, Stopwatch
from .connection import Stream, place
from .conversation import conversation, exactly

OURS = b"SSH-2.0-Watchkeeper"
LONGEST_LINE = 255
MOST_LINES = 20  # that a server may send before it says who it is
MOST_READ = 35000  # bytes of a packet, RFC 4253 6.1
MOST_PACKETS = 20
DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, EXT_INFO, KEXINIT, ECDH_INIT, ECDH_REPLY = 1, 2, 3, 4, 7, 20, 30, 31
CURVE25519 = ("curve25519-sha256", "curve25519-sha256@libssh.org")
NISTP256 = "ecdh-sha2-nistp256"
EXCHANGES = (*CURVE25519, NISTP256)
HOST_KEYS = {
    "ed25519": ("ssh-ed25519",),
    "ecdsa": ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    "rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
CIPHERS = "chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com"
MACS = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512"
LISTS = ("kex", "host_key", "cipher", None, "mac", None, "compression", None, None, None)
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


def fingerprint_text(text: str) -> str:
    """SHA256:… as `ssh-keygen -l` prints it; raises ValueError."""
    text = text.strip().rstrip("=")
    if text and not _FINGERPRINT.fullmatch(text):
        raise ValueError("Write the fingerprint as ssh-keygen -lf prints it: SHA256: and 43 letters and digits")
    return text


class SshConfig(AnswerConfig):
    """Where it listens, and which host key it must hold."""

    host: Host = Field(title="Host", description="Name or address of the server.", examples=["gw.example.com"])
    port: Port = Field(22, title="Port", examples=[22])
    fingerprint: Annotated[str, AfterValidator(fingerprint_text)] = Field(
        "",
        title="Host key",
        max_length=60,
        description="Fingerprint that the host key must have. Empty: any key will do.",
        examples=["SHA256:uNiVztksCsDhcc0u9e8BrrQXVUpKZIDTMczCvj3tD2s"],
    )
    key_type: Literal["any", "ed25519", "ecdsa", "rsa"] = Field(
        "any",
        title="Host key type",
        description="The type of the key whose fingerprint is given; any: the server's best.",
    )
    expect: str = Field(
        "", title="Expect", max_length=200, description="Text in the server's greeting.", examples=["OpenSSH"]
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """The server's algorithms by purpose, and its packet as it came."""

    raw: bytes
    lists: dict[str, list[str]]


class SshCheck(Check):
    """Greeting, algorithms and, if wanted, the host key."""

    kind: ClassVar[str] = "ssh"
    label: ClassVar[str] = "SSH server"
    Config = SshConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: SshConfig) -> str:
        """host:port"""
        return place(config.host, config.port)

    @classmethod
    async def probe(cls, config: SshConfig, ctx: Context, outcome: Outcome) -> None:
        """Greet, note facts["banner"] and facts["algorithms"]; with a fingerprint, facts["host_key"] too."""
        async with conversation(config.host, config.port, ctx, outcome, tls=False) as stream:
            watch = Stopwatch.start()
            theirs = await _greeting(stream)
            outcome.first_byte_ms = watch.lap()
            banner = theirs.decode("ascii", "replace")
            outcome.facts["banner"] = "".join(char if char.isprintable() else "." for char in banner)
            if not theirs.startswith((b"SSH-2.0-", b"SSH-1.99-")):
                raise CheckFailed("protocol", "The server speaks a version of SSH that is too old")
            if config.expect and config.expect not in banner:
                raise CheckFailed("content", "The expected text is not in the server's greeting")
            await stream.send(OURS + b"\r\n")
            offer = read_offer(await _packet(stream, KEXINIT))
            outcome.facts["algorithms"] = {name: found[:30] for name, found in offer.lists.items()}
            if config.fingerprint:
                key = await _proven_key(stream, theirs, offer, config.key_type)
                seen = fingerprint_of(key)
                outcome.facts["host_key"] = seen
                if not hmac.compare_digest(seen, config.fingerprint):
                    raise CheckFailed("content", f"The server has another host key: {seen}")
        outcome.settle(Status.UP, "The server holds the host key" if config.fingerprint else "The server greeted")


async def _greeting(stream: Stream) -> bytes:
    """The server's identification without its line end; other lines may come before it (RFC 4253, 4.2)."""
    for _ in range(MOST_LINES):
        line = await _line(stream)
        if line.startswith(b"SSH-"):
            return line
        if not line.isascii():
            break
    raise CheckFailed("protocol", "The server does not greet as SSH does")


async def _line(stream: Stream) -> bytes:
    line = bytearray()
    while len(line) <= LONGEST_LINE:  # byte by byte: what follows the greeting belongs to the packets
        line += await stream.reader.readexactly(1)
        if line.endswith(b"\n"):
            return bytes(line).rstrip(b"\r\n")
    raise CheckFailed("protocol", "The server does not greet as SSH does")


async def _packet(stream: Stream, wanted: int) -> bytes:
    """The payload of the next packet of that type, before encryption; packets that mean nothing are passed over."""
    for _ in range(MOST_PACKETS):
        size = int.from_bytes(await stream.reader.readexactly(4))
        if size < 5:
            break
        body = await exactly(stream, size, MOST_READ)
        payload = body[1 : size - body[0]] if body[0] < size - 1 else b""
        kind = payload[0] if payload else 0
        if kind == wanted:
            return payload
        if kind == DISCONNECT:
            raise CheckFailed("reset", "The server said goodbye during the key exchange")
        if kind not in (IGNORE, UNIMPLEMENTED, DEBUG, EXT_INFO):
            break
    raise CheckFailed("protocol", "The server does not speak SSH")


def packed(payload: bytes) -> bytes:
    """A packet before encryption: padded to eight bytes, at least four of them."""
    pad = 8 - (len(payload) + 5) % 8
    pad += 8 if pad < 4 else 0
    return (len(payload) + pad + 1).to_bytes(4) + bytes([pad]) + payload + os.urandom(pad)


def text(value: bytes) -> bytes:
    """An SSH string: its length, then the bytes."""
    return len(value).to_bytes(4) + value


def mpint(value: int) -> bytes:
    """A non-negative SSH mpint."""
    return text(value.to_bytes(value.bit_length() // 8 + 1) if value else b"")


def take(data: bytes) -> tuple[bytes, bytes]:
    """(string, rest); raises CheckFailed when it is cut short."""
    size = int.from_bytes(data[:4])
    if len(data) < 4 or size > len(data) - 4:
        raise CheckFailed("protocol", "The server's packet is cut short")
    return data[4 : 4 + size], data[4 + size :]


def read_offer(payload: bytes) -> Offer:
    """The server's KEXINIT; raises CheckFailed."""
    rest, lists = payload[17:], {}
    for name in LISTS:
        words, rest = take(rest)
        if name:
            lists[name] = [word[:64] for word in words.decode("ascii", "replace").split(",") if word]
    return Offer(payload, lists)


def our_offer(key_type: str) -> bytes:
    """Our KEXINIT, which wants a host key of that type ("any": the order of HOST_KEYS)."""
    keys = HOST_KEYS.get(key_type) or tuple(name for names in HOST_KEYS.values() for name in names)
    lists = (",".join(EXCHANGES), ",".join(keys), CIPHERS, CIPHERS, MACS, MACS, "none", "none", "", "")
    return bytes([KEXINIT]) + os.urandom(16) + b"".join(text(item.encode()) for item in lists) + bytes(5)


def common(ours: tuple[str, ...], theirs: list[str]) -> str | None:
    """The first of ours that they have too: what both sides then use."""
    return next((name for name in ours if name in theirs), None)


async def _proven_key(stream: Stream, theirs: bytes, offer: Offer, key_type: str) -> bytes:
    """The server's host key (wire format), after its signature over this exchange was found good."""
    ours = our_offer(key_type)
    exchange = common(EXCHANGES, offer.lists["kex"])
    if exchange is None:
        raise CheckFailed("protocol", "The server offers no key exchange that this check knows")
    wanted = HOST_KEYS.get(key_type) or tuple(name for names in HOST_KEYS.values() for name in names)
    algorithm = common(wanted, offer.lists["host_key"])
    if algorithm is None:
        raise CheckFailed("content", "The server has no host key of the wanted type")
    secret: x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey
    if exchange in CURVE25519:
        secret = x25519.X25519PrivateKey.generate()
        point = secret.public_key().public_bytes_raw()
    else:
        secret = ec.generate_private_key(ec.SECP256R1())
        point = secret.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
    await stream.send(packed(ours) + packed(bytes([ECDH_INIT]) + text(point)))
    reply = (await _packet(stream, ECDH_REPLY))[1:]
    key, reply = take(reply)
    answer, reply = take(reply)
    signature, _ = take(reply)
    shared = _shared(secret, answer)
    spoken = [text(part) for part in (OURS, theirs, ours, offer.raw, key, point, answer)]
    digest = hashlib.sha256(b"".join(spoken) + mpint(int.from_bytes(shared))).digest()
    try:
        verify(key, algorithm, signature, digest)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        raise CheckFailed("protocol", "The server could not prove that it holds its host key") from None
    return key


def _shared(secret: x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey, answer: bytes) -> bytes:
    try:
        if isinstance(secret, x25519.X25519PrivateKey):
            return secret.exchange(x25519.X25519PublicKey.from_public_bytes(answer))
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), answer)
        return secret.exchange(ec.ECDH(), public)
    except ValueError:
        raise CheckFailed("protocol", "The server's half of the key exchange makes no sense") from None


def verify(key: bytes, algorithm: str, signature: bytes, data: bytes) -> None:
    """Raises InvalidSignature or ValueError unless `signature` over `data` was made with the host key `key`."""
    name, proof = take(signature)
    if name != algorithm.encode():
        raise ValueError("signed by another algorithm")
    public = serialization.load_ssh_public_key(take(key)[0] + b" " + base64.b64encode(key))
    proof, rest = take(proof)
    if rest:
        raise ValueError("more than a signature")
    if algorithm == "ssh-ed25519" and isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(proof, data)
    elif algorithm.startswith("rsa-sha2-") and isinstance(public, rsa.RSAPublicKey):
        digest = hashes.SHA512() if algorithm.endswith("512") else hashes.SHA256()
        public.verify(proof, data, padding.PKCS1v15(), digest)
    elif algorithm.startswith("ecdsa-") and isinstance(public, ec.EllipticCurvePublicKey):
        if take(key)[0] != name:
            raise ValueError("a key on another curve")
        r, s = take(proof)
        pair = int.from_bytes(r), int.from_bytes(take(s)[0])
        by_size = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
        public.verify(encode_dss_signature(*pair), data, ec.ECDSA(by_size[public.curve.key_size]))
    else:
        raise ValueError("a key of another type")


def fingerprint_of(key: bytes) -> str:
    """SHA256:… of a host key in wire format."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
