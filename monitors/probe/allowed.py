"""What may this machine be asked to do? A file that only its administrator can write says: named actions, nothing else.

The file names programs with fixed arguments and the types of the few that may vary, and the public key of whoever may give
orders. It is read anew for each order, and believed only while nobody but root can change it or the way to it.
"""

from __future__ import annotations

import base64
import os
import stat
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import re2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from monitors.checks.base import complaints
from monitors.probe.envelope import MOST_PARAMS, NAME

USUAL = "/etc/watchkeeper/actions.toml"
FILE, OWNER = "WATCHKEEPER_PROBE_ACTIONS", "WATCHKEEPER_PROBE_ACTIONS_OWNER"
MOST_FILE, MOST_ACTIONS, MOST_LINKS = 256 * 1024, 100, 20
MOST_WORD = 100  # characters of a parameter
SYSTEMCTL = ("/usr/bin/systemctl", "/bin/systemctl")


class NotAllowed(Exception):
    """The machine's file does not allow it, or is not to be believed; the sentence says why."""


# --- What the file says -------------------------------------------------------------------------------------------------
class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError("A name is small letters, digits, - and _, and begins with a letter")
    return text


def _word(text: str) -> str:
    if not text.isprintable():
        raise ValueError("Control characters and line breaks have no place here")
    return text


def _pattern(text: str) -> str:
    try:
        _compiled(text)
    except re2.error as error:
        why = error.args[0] if error.args else ""
        said = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        raise ValueError(f"Not a pattern that RE2 knows: {said}") from None
    return text


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors, options.max_mem = False, 1 << 20
    return re2.compile(pattern, options)


def _key(text: str) -> str:
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        raise ValueError("An Ed25519 public key in base64, 44 characters") from None
    return text


Name = Annotated[str, AfterValidator(_name)]
Word = Annotated[str, Field(max_length=1000), AfterValidator(_word)]
Sentence = Annotated[str, Field(max_length=200), AfterValidator(_word)]


class Choice(_Said):
    """One of these words."""

    type: Literal["choice"]
    choices: list[Annotated[str, Field(min_length=1, max_length=MOST_WORD), AfterValidator(_word)]] = Field(min_length=1, max_length=50)  # fmt: skip
    describe: Sentence = ""

    def word(self, value: object) -> str:
        """The argument for this value. ValueError with what is wanted."""
        if type(value) is not str or value not in self.choices:
            raise ValueError(f"one of {', '.join(self.choices)}")
        return value


class Whole(_Said):
    """A whole number. None below 0: "-1" would read as an option."""

    type: Literal["int"]
    min: int = Field(ge=0, le=10**12)
    max: int = Field(ge=0, le=10**12)
    describe: Sentence = ""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.min > self.max:
            raise ValueError("min: at most max")
        return self

    def word(self, value: object) -> str:
        """As above."""
        if type(value) is not int or not self.min <= value <= self.max:
            raise ValueError(f"a whole number from {self.min} to {self.max}")
        return str(value)


class Pattern(_Said):
    """A word that a pattern fits, whole; never an option, never a way upwards, never two lines."""

    type: Literal["pattern"]
    pattern: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_pattern)]
    describe: Sentence = ""

    def word(self, value: object) -> str:
        """As above."""
        if type(value) is not str or not 0 < len(value) <= MOST_WORD or not value.isprintable() or value.startswith("-"):  # fmt: skip
            raise ValueError(f"1 to {MOST_WORD} printable characters, not beginning with -")
        if ".." in value.split("/") or not _compiled(self.pattern).fullmatch(value):
            raise ValueError(f"a word that fits {self.pattern}")
        return value


class Action(_Said):
    """One thing that may be done."""

    kind: Literal["service", "container", "script"]
    argv: list[Word] = Field(default=[], max_length=50)
    unit: Annotated[str, Field(pattern=r"^[A-Za-z0-9:_@.\\][A-Za-z0-9:_@.\\-]{0,200}\.service$")] = ""
    container: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")] = ""
    socket: Annotated[str, Field(pattern=r"^/[!-~]{1,99}$")] = "/var/run/docker.sock"
    timeout_seconds: int = Field(60, ge=1, le=600)
    params: dict[Name, Annotated[Choice | Whole | Pattern, Field(discriminator="type")]] = Field({}, max_length=MOST_PARAMS)  # fmt: skip
    describe: Sentence = ""
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_.-]{0,31}$")] = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Exactly one thing to do, said completely."""
        ways = {"service": ("unit", "argv"), "container": ("container",), "script": ("argv",)}[self.kind]
        said = [name for name in ("unit", "container", "argv") if getattr(self, name)]
        if len(said) != 1 or said[0] not in ways:
            raise ValueError(f"A {self.kind} names {' or '.join(ways)}, and nothing besides")
        if self.argv and not self.argv[0].startswith("/"):
            raise ValueError("argv: begins with the whole path of a program")
        if self.user and not self.argv:
            raise ValueError("user: only with argv")
        if "socket" in self.model_fields_set and not self.container:
            raise ValueError("socket: only with container")
        wanted = [name for word in self.argv[1:] if (name := placeholder(word))]
        for word in self.argv:
            if ("{" in word or "}" in word) and (word is self.argv[0] or not placeholder(word)):
                raise ValueError("argv: a parameter stands as a whole argument, as {name}; braces have no other place")
        if sorted(wanted) != sorted(self.params):
            raise ValueError("argv: each parameter stands there exactly once, as {name}")
        return self

    def words(self, params: dict[str, Any]) -> list[str]:
        """The program and its arguments, parameters in place. NotAllowed for one too many, one missing, one that does not fit."""
        for name in params.keys() - self.params.keys():
            raise NotAllowed(f"There is no parameter {name!r} in this action.")
        put = {}
        for name, kind in self.params.items():
            if name not in params:
                raise NotAllowed(f"The parameter {name!r} is missing.")
            try:
                put[name] = kind.word(params[name])
            except ValueError as wanted:
                raise NotAllowed(f"The parameter {name!r} has to be {wanted}.") from None
        if self.unit:
            return [_systemctl(), "--no-ask-password", "restart", "--", self.unit]
        return [put.get(placeholder(word), word) for word in self.argv]

    def shape(self, name: str) -> dict[str, Any]:
        """What others may know of it, for a form; never how it is done."""
        params = {n: p.model_dump(exclude_defaults=True) for n, p in self.params.items()}
        return {"name": name, "kind": self.kind, "params": params, "describe": self.describe, "timeout_seconds": self.timeout_seconds}  # fmt: skip


def placeholder(word: str) -> str:
    """The parameter that an argument stands for, or ""."""
    inner = word[1:-1]
    return inner if word == f"{{{inner}}}" and NAME.fullmatch(inner) else ""


def _systemctl() -> str:
    for path in SYSTEMCTL:
        if os.access(path, os.X_OK):
            return path
    raise NotAllowed("There is no systemctl here: in place of unit, write as argv how your supervisor restarts it.")


class Listed(_Said):
    """The whole file."""

    signer: Annotated[list[Annotated[str, AfterValidator(_key)]], BeforeValidator(lambda said: [said] if isinstance(said, str) else said)] = Field(min_length=1, max_length=5)  # fmt: skip
    tenant: int | None = Field(None, ge=0)
    actions: dict[Name, Action] = Field({}, max_length=MOST_ACTIONS)

    def signers(self) -> Iterator[Ed25519PublicKey]:
        """Whose orders are followed."""
        for text in self.signer:
            yield Ed25519PublicKey.from_public_bytes(base64.b64decode(text))

    def action(self, name: str) -> Action:
        """The one of this name. NotAllowed when there is none."""
        if name not in self.actions:
            raise NotAllowed(f"This machine's file has no action {name!r}.")
        return self.actions[name]


# --- Reading it ---------------------------------------------------------------------------------------------------------
def where() -> Path:
    """The file's place."""
    return Path(os.environ.get(FILE) or USUAL)


def owners() -> set[int]:
    """Who may own it: root, and this program's own user where that was asked for."""
    return {0, os.geteuid()} if os.environ.get(OWNER) == "self" else {0}


def read() -> Listed:
    """What the file says now. NotAllowed when it is missing, can be changed by others, or is wrong."""
    path = where()
    try:
        trusted(path, owners())
        with path.open("rb") as file:
            text = file.read(MOST_FILE + 1)
    except FileNotFoundError:
        raise NotAllowed(f"There is no {path}: nothing is allowed here.") from None
    except OSError as error:
        raise NotAllowed(f"{path} cannot be read: {error.strerror}.") from None
    if len(text) > MOST_FILE:
        raise NotAllowed(f"{path} is larger than {MOST_FILE >> 10} KB.")
    try:
        return Listed.model_validate(tomllib.loads(text.decode()))
    except ValidationError as error:
        field, sentences = next(iter(complaints(error).items()))
        raise NotAllowed(f"{path}: {field}: {sentences[0]}.") from None
    except ValueError as error:  # no TOML, or no text
        raise NotAllowed(f"{path}: {error}.") from None


def trusted(path: Path, whose: Iterable[int]) -> None:
    """NotAllowed when anybody else can change this file, or put another in its place. OSError when it is not there.

    Looked at are the file, each directory on the way from /, and each link with the way it leads to.
    """
    if not path.is_absolute():
        raise NotAllowed(f"{path} is no whole path: begin with /.")
    place = Path("/")
    for place in _way(path):
        said = place.lstat()
        if said.st_uid not in whose:
            raise NotAllowed(f"{place} belongs to the user {said.st_uid}: it has to be root's (chown root).")
        # As /tmp: only an entry's owner can replace it.
        shared = stat.S_ISDIR(said.st_mode) and said.st_mode & stat.S_ISVTX
        if said.st_mode & 0o022 and not stat.S_ISLNK(said.st_mode) and not shared:
            raise NotAllowed(f"{place} can be written by others: chmod go-w it.")
    if not stat.S_ISREG(place.stat().st_mode):
        raise NotAllowed(f"{place} is no ordinary file.")


def _way(path: Path) -> Iterator[Path]:
    """Every place that decides what `path` is, from / on; the last is what is there in the end."""
    at, left, links = Path("/"), list(path.parts[1:]), 0
    yield at
    while left:
        name = left.pop(0)
        if name == "..":
            at = at.parent
            continue
        at = at / name
        yield at
        if at.is_symlink():
            links += 1
            if links > MOST_LINKS:
                raise NotAllowed(f"{path}: too many links.")
            target = Path(os.readlink(at))
            left = [*(target.parts[1:] if target.is_absolute() else target.parts), *left]
            at = Path("/") if target.is_absolute() else at.parent
