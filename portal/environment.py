"""Where does a setting come from? The environment, a `NAME_FILE`, or `.env`; said once, checked strictly.

Every reader names the variable it could not understand and the cure, and collects the mistakes, so that
`manage.py check` can print all of them instead of the first.
"""

from __future__ import annotations

import base64
import os
import secrets
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from cryptography.fernet import Fernet

mistakes: list[str] = []


def load_env_file(path: Path) -> None:
    """Read KEY=value lines into the environment; what is already set there wins."""
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        key, mark, value = text.removeprefix("export ").partition("=")
        if not mark or not key.strip().isidentifier():
            mistakes.append(
                f"{path.name} line {number} is not KEY=value; write for example BASE_URL=https://portal.example"
            )
            continue
        os.environ.setdefault(key.strip(), value.strip().strip("'\""))


def text(name: str, default: str = "") -> str:
    """The value of NAME, or the content of the file that NAME_FILE names."""
    file = os.environ.get(f"{name}_FILE")
    if file:
        try:
            return Path(file).read_text().strip()
        except OSError as error:
            mistakes.append(
                f"{name}_FILE names {file}, which cannot be read ({error.strerror}); fix the path or its permissions"
            )
            return default
    return os.environ.get(name, default)


def integer(name: str, default: int) -> int:
    """A whole number, or the default with a recorded mistake."""
    raw = text(name)
    if not raw:
        return default
    try:
        return int(raw)
    except ValueError:
        mistakes.append(f"{name}={raw!r} is not a whole number; set for example {name}={default}")
        return default


def choice(name: str, options: tuple[str, ...], default: str) -> str:
    """One of a few words."""
    raw = text(name, default).lower()
    if raw not in options:
        mistakes.append(f"{name}={raw!r} is not one of {', '.join(options)}")
        return default
    return raw


def networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Comma-separated CIDRs."""
    found = []
    for part in filter(None, (p.strip() for p in text(name).split(","))):
        try:
            found.append(ip_network(part, strict=False))
        except ValueError:
            mistakes.append(f"{name} holds {part!r}, which is not a network; write for example 127.0.0.0/8")
    return tuple(found)


def addresses(name: str, default: str = "") -> tuple[str, ...]:
    """Comma-separated IP addresses; set and empty means none."""
    found = []
    for part in filter(None, (p.strip() for p in text(name, default).split(","))):
        try:
            found.append(str(ip_address(part)))
        except ValueError:
            mistakes.append(f"{name} holds {part!r}, which is not an address; write for example {name}=1.1.1.1,9.9.9.9")
    return tuple(found)


def file(name: str) -> str:
    """The path of a file that can be read, or "" when none is named."""
    path = text(name)
    if path and not (os.path.isfile(path) and os.access(path, os.R_OK)):
        mistakes.append(
            f"{name}={path!r} is not a file that can be read; fix the path or its permissions, or leave {name} out"
        )
        return ""
    return path


def mail_or_url(name: str, raw: str, allow: tuple[IPv4Network | IPv6Network, ...]) -> str:
    """A mail address, or an https address (http only to an address in `allow`); "" when neither is named."""
    raw = raw.strip()
    if "://" in raw:
        try:
            parts = urlsplit(raw)
            host = parts.hostname or ""
            good = bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _allowed(host, allow)))
        except ValueError:
            good = False
    else:
        who, mark, where = raw.partition("@")
        good = not raw or (bool(who and mark and where) and not set(raw) & set(" ,;<>\r\n") and "@" not in where)
    if not good:
        mistakes.append(
            f"{name}={raw!r} is neither a mail address nor an https address; set for example {name}=audit@elsewhere.example"
        )
        return ""
    return raw


def single_sign_on(found: dict, allow: tuple[IPv4Network | IPv6Network, ...]) -> dict:
    """The OpenID Connect settings as they were found, or {} where they cannot work, with each mistake recorded.

    The issuer is asked for keys and for who somebody is, so it must be https; an address in OUTBOUND_ALLOW is trusted
    as it is.
    """
    named = {"issuer": "OIDC_ISSUER", "client_id": "OIDC_CLIENT_ID", "secret": "OIDC_CLIENT_SECRET"}
    missing = [name for key, name in named.items() if not found[key]]
    if len(missing) == len(named):
        if found["mfa"] or found["require"]:
            mistakes.append("OIDC_MFA and OIDC_REQUIRE need a provider; set OIDC_ISSUER too, or leave them out")
        return {}
    if missing:
        mistakes.append(f"{' and '.join(missing)} missing: single sign-on needs {', '.join(named.values())} together")
        return {}
    issuer = found["issuer"].rstrip("/")
    try:
        parts = urlsplit(issuer)
        plain = bool(parts.hostname) and not (parts.query or parts.fragment or parts.username or parts.password)
        good = plain and (parts.scheme == "https" or (parts.scheme == "http" and _allowed(parts.hostname or "", allow)))
    except ValueError:
        good = False
    if not good:
        mistakes.append(
            f"OIDC_ISSUER={found['issuer']!r} is not an https address; set for example OIDC_ISSUER=https://login.example/realms/main"
        )
        return {}
    words = frozenset(filter(None, (word.strip() for word in found["mfa"].split(","))))
    return {**found, "issuer": issuer, "name": found["name"] or "single sign-on", "mfa": words}


def _allowed(host: str, allow: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return False
    return any(address in network for network in allow)


def generated(name: str, directory: Path, make=lambda: secrets.token_urlsafe(48)) -> str:
    """A key from the environment or, on one machine, made once and kept in the data directory (mode 0600)."""
    value = text(name)
    if value:
        return value
    path = directory / name.lower()
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
        try:
            os.link(temporary, path)  # two first starts at once: exactly one key wins
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        return path.read_text().strip()


def fernet_key() -> str:
    """A fresh key for secrets at rest."""
    return Fernet.generate_key().decode()


def ed25519_key() -> str:
    """A fresh key to sign orders with: 32 random bytes, base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def database(name: str, directory: Path) -> dict:
    """DATABASES["default"] from DATABASE_URL, or SQLite in the data directory with the options that survive contention."""
    url = text(name)
    if not url:
        return sqlite(directory / "watchkeeper.sqlite3")
    parts = urlsplit(url)
    if parts.scheme in ("postgres", "postgresql"):
        query = dict(parse_qsl(parts.query))
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": query.pop("host", "") or parts.hostname or "",
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"connect_timeout": 5, "application_name": "watchkeeper", **query},
        }
    if parts.scheme == "sqlite":
        return sqlite(Path(unquote(parts.path)))
    mistakes.append(
        f"{name} begins with {parts.scheme!r}; use postgresql://user:password@host:5432/name or leave it out for SQLite"
    )
    return sqlite(directory / "watchkeeper.sqlite3")


def sqlite(path: Path) -> dict:
    """WAL and IMMEDIATE: a writer waits its turn instead of failing with "database is locked"."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA journal_size_limit=27103364;"
            "PRAGMA cache_size=-8000;PRAGMA temp_store=MEMORY;PRAGMA mmap_size=0;",
        },
    }
