"""Does a Redis (or Valkey) server answer PING, and is it in the role it should be in?

Three fixed commands at most: AUTH, PING, INFO replication. Nothing is read from or written to any key.
"""

import re
from typing import ClassVar, Literal

from pydantic import Field

from .base import Check, CheckFailed, Context, Host, Outcome, Port, Secret, Status, Stopwatch
from .connection import Stream, place
from .conversation import VerifiedConfig, conversation, exactly

MOST_READ = 65536
_WORD = re.compile(r"[A-Z]{2,20}")
SENTENCES = {
    "NOAUTH": ("permission", "The server wants a password"),
    "WRONGPASS": ("permission", "The server refused the user or password"),
    "NOPERM": ("permission", "The user may not do this"),
    "LOADING": ("content", "The server is still loading its data"),
    "BUSY": ("content", "The server is busy with a script"),
    "MASTERDOWN": ("content", "The replica has lost its primary"),
}


class RedisConfig(VerifiedConfig):
    """Where it listens, how to sign in, and which role it must have."""

    host: Host = Field(title="Host", description="Name or address of the server.", examples=["cache.example.com"])
    port: Port = Field(6379, title="Port", examples=[6379])
    tls: Literal["none", "tls"] = Field("none", title="TLS", description="Without it a password is sent in the clear.")
    user: str = Field("", title="User", max_length=200, description="Empty: the default user.")
    password: Secret = Field(Secret(""), title="Password", max_length=1000)
    role: Literal["", "primary", "replica"] = Field(
        "", title="Role", description="A replica must also have its link to the primary up."
    )


class RedisCheck(Check):
    """AUTH, PING and, if wanted, the role."""

    kind: ClassVar[str] = "redis"
    label: ClassVar[str] = "Redis"
    Config = RedisConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: RedisConfig) -> str:
        """host:port"""
        return place(config.host, config.port)

    @classmethod
    async def probe(cls, config: RedisConfig, ctx: Context, outcome: Outcome) -> None:
        """Sign in, ping, look at the role; facts["role"] when it was asked for."""
        secured = config.tls == "tls"
        async with conversation(
            config.host, config.port, ctx, outcome, tls=secured, verify=config.verify_tls
        ) as stream:
            watch = Stopwatch.start()
            if password := config.password.get_secret_value():
                await _ask(stream, "AUTH", *([config.user] if config.user else []), password)
                outcome.first_byte_ms = watch.lap()
            answer = await _ask(stream, "PING")
            if outcome.first_byte_ms is None:
                outcome.first_byte_ms = watch.lap()
            if answer != "PONG":
                raise CheckFailed("content", "The server did not answer PING with PONG")
            if config.role:
                _judge(config.role, await _ask(stream, "INFO", "replication"), outcome)
        outcome.settle(Status.UP, "The server answered PING")


async def _ask(stream: Stream, *words: str) -> str:
    parts = [word.encode() for word in words]
    wire = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    await stream.send(wire)
    line = await stream.line()
    mark, rest = line[:1], line[1:]
    if mark == "+":
        return rest
    if mark == "-":
        raise CheckFailed(*_told(words[0], rest))
    if mark == "$" and rest.isascii() and rest.isdigit() and len(rest) < 10:
        return (await exactly(stream, int(rest) + 2, MOST_READ))[:-2].decode("utf-8", "replace")
    raise CheckFailed("protocol", "The server does not speak Redis")


def _told(command: str, error: str) -> tuple[str, str]:
    """(error class, sentence) for an error reply. Its text may repeat what was sent, so only its first word is used."""
    word = error.split(" ")[0]
    if word in SENTENCES:
        return SENTENCES[word]
    if command == "AUTH":  # older servers say "ERR invalid password", or that none is set
        return "permission", "The server refused the user or password"
    known = word if _WORD.fullmatch(word) else "an error"
    return "content", f"The server answered {known} to {command}"


def _judge(wanted: str, info: str, outcome: Outcome) -> None:
    values = dict(line.partition(":")[::2] for line in info.splitlines() if ":" in line)
    role = {"master": "primary", "slave": "replica"}.get(values.get("role", ""))
    if role is None:
        raise CheckFailed("content", "The server does not tell its role")
    outcome.facts["role"] = role
    if role != wanted:
        raise CheckFailed("content", f"The server is a {role}, wanted is a {wanted}")
    if role == "replica" and values.get("master_link_status") != "up":
        raise CheckFailed("content", "The replica has lost its primary")
