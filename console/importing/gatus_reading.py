"""What does a Gatus configuration say? Its YAML with variables filled in, its durations, its places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from console.configuration import reading
from console.configuration.reading import Unreadable
from console.configuration.secret import Secret
from console.importing.draft import Foreign

_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|h|m|s)")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def read(path: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """(the configuration, the names of variables that are not set). Raises Foreign."""
    try:
        data = reading.parse(reading.read_file(path)).plain()
    except Unreadable as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise Foreign(f"{where}: {error}") from None
    if not isinstance(data, dict) or not (data.keys() & {"endpoints", "external-endpoints", "services"}):
        raise Foreign(f"{path} is YAML, but no Gatus configuration: it has no “endpoints”.")
    missing: set[str] = set()
    return _filled(data, environ, missing), sorted(missing)


def _filled(value: Any, environ: Mapping[str, str], missing: set[str]) -> Any:
    """$NAME and ${NAME} as the environment has them, `$$` as $; unknown ones stay as ${NAME}."""
    if isinstance(value, dict):
        return {key: _filled(item, environ, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, environ, missing) for item in value]
    if isinstance(value, Secret):
        raise Foreign("It holds !secret, which Gatus does not know; is this a configuration of this portal?")
    return _VARIABLE.sub(lambda found: _variable(found, environ, missing), value) if isinstance(value, str) else value


def _variable(found: re.Match[str], environ: Mapping[str, str], missing: set[str]) -> str:
    name = found[1] or found[2]
    if name is None:
        return "$"
    if name not in environ:
        missing.add(name)
        return f"${{{name}}}"
    return environ[name]


def seconds(value: Any) -> float | None:
    """A Go duration such as 1h30m in seconds; None for what is none."""
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def mapping(value: Any) -> dict[str, Any]:
    """A foreign mapping; {} for anything else."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[dict[str, Any]]:
    """The mappings of a foreign list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
