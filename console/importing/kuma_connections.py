"""Which database does a connection string of Uptime Kuma name?"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from console.importing.draft import Line

DATABASES = {"postgres": ("postgres", 5432), "mysql": ("mysql", 3306), "redis": ("redis", 6379)}


def database(line: Line, m: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(our kind, its settings); no settings and a line when the string is not understood."""
    ours, usual = DATABASES[str(m.get("type"))]
    written = m.get("database_connection_string")
    try:
        parts = urlsplit(written if isinstance(written, str) else "")
        port, host = parts.port, parts.hostname
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host:
        line.leave("Its connection string is not an address such as postgres://user:password@host/database.")
        return ours, {}
    tls = parts.scheme == "rediss" if ours == "redis" else False
    config: dict[str, Any] = {
        "host": host,
        "port": port or usual,
        "user": unquote(parts.username or ""),
        "tls": "tls" if tls else "none",
    }
    password = unquote(parts.password or "") or (m.get("radius_password") if ours == "mysql" else None)
    if password:
        config["password"] = password
    if ours != "redis":
        config["database"] = unquote(parts.path.strip("/"))
        line.note("It is asked without TLS, as it was; choose TLS where the server has it.")
        if m.get("database_query"):
            line.note("Its query is not carried over: here it connects and signs in.")
    return ours, config
