"""What does an SSH server do up to the proof of its host key? RFC 4253 and 8731, on the server's side, with real keys."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HostKey = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def text(value: bytes) -> bytes:
    """An SSH string."""
    return len(value).to_bytes(4, "big") + value


def mpint(value: int) -> bytes:
    """A non-negative SSH number."""
    return text(value.to_bytes(value.bit_length() // 8 + 1, "big"))


def strings(data: bytes) -> list[bytes]:
    """All the strings in a row."""
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


def public_blob(key: HostKey) -> bytes:
    """The public key as it travels."""
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def fingerprint(key: HostKey) -> str:
    """As ssh-keygen -l prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public_blob(key)).digest()).decode().rstrip("=")


def signed(key: HostKey, algorithm: str, data: bytes) -> bytes:
    """The signature, as it travels."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        proof = key.sign(data)
    elif isinstance(key, rsa.RSAPrivateKey):
        digest = hashes.SHA512() if algorithm == "rsa-sha2-512" else hashes.SHA256()
        proof = key.sign(data, padding.PKCS1v15(), digest)
    else:
        size = key.curve.key_size
        by_size = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(by_size[size])))
        proof = mpint(r) + mpint(s)
    return text(algorithm.encode()) + text(proof)


@dataclass
class Sshd:
    """One server's manners; `converse` is a handler. `signs_with` lets it show a key that it does not hold."""

    keys: dict[str, HostKey]
    signs_with: HostKey | None = None
    exchanges: tuple[str, ...] = ("curve25519-sha256", "ecdh-sha2-nistp256")
    greeting: bytes = b"SSH-2.0-Rig_1.0 for tests\r\n"
    before_reply: tuple[bytes, ...] = ()
    chosen: list[str] = field(default_factory=list)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greeting, key exchange, and then silence."""
        writer.write(self.greeting)
        ours = self._offer()
        writer.write(packed(ours))
        greeting = (await reader.readuntil(b"\r\n")).strip()
        theirs = await read_packet(reader)
        lists = strings(theirs[17:-5])
        exchange = first(lists[0], self.exchanges)
        algorithm = first(lists[1], tuple(self.keys))
        self.chosen += [exchange, algorithm]
        asked = await read_packet(reader)
        assert asked[0] == 30
        point = strings(asked[1:])[0]
        shown, secret = half(exchange, point)
        key = self.keys[algorithm]
        identity = self.greeting.split(b"SSH-", 1)[1].strip()
        spoken = [greeting, b"SSH-" + identity, theirs, ours, public_blob(key), point, shown]
        data = b"".join(map(text, spoken)) + mpint(int.from_bytes(secret, "big"))
        proof = signed(self.signs_with or key, algorithm, hashlib.sha256(data).digest())
        for packet in self.before_reply:
            writer.write(packed(packet))
        writer.write(packed(b"\x1f" + text(public_blob(key)) + text(shown) + text(proof)))
        await reader.read()

    def _offer(self) -> bytes:
        names = (
            ",".join(self.exchanges),
            ",".join(self.keys),
            *["aes256-ctr"] * 2,
            *["hmac-sha2-256"] * 2,
            "none",
            "none",
            "",
            "",
        )
        return b"\x14" + os.urandom(16) + b"".join(text(name.encode()) for name in names) + bytes(5)


def half(exchange: str, point: bytes) -> tuple[bytes, bytes]:
    """(our half, shared secret) of an exchange."""
    if exchange.startswith("curve25519"):
        ours = x25519.X25519PrivateKey.generate()
        return ours.public_key().public_bytes_raw(), ours.exchange(x25519.X25519PublicKey.from_public_bytes(point))
    other = ec.generate_private_key(ec.SECP256R1())
    shown = other.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return shown, other.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))


def first(theirs: bytes, ours: tuple[str, ...]) -> str:
    """What both sides use: the client's first that the server has too."""
    return next(name for name in theirs.decode().split(",") if name in ours)


def packed(payload: bytes) -> bytes:
    """A packet before encryption."""
    pad = 16 - (len(payload) + 5) % 8
    return (len(payload) + pad + 1).to_bytes(4, "big") + bytes([pad]) + payload + bytes(pad)


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    """The payload of the next packet."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    assert size % 8 == 4 and size >= 12, "whole blocks of eight"
    body = await reader.readexactly(size)
    assert body[0] >= 4, "at least four bytes of padding"
    return body[1 : size - body[0]]
