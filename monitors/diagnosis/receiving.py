"""What does a probe send, and what of it is kept? Its JSON under its own name, in a shape that nothing chokes on, without secrets."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from monitors.diagnosis.evidence import VERSION
from monitors.models import Probe
from portal.secrets import MASK

LARGEST = 256 * 1024  # of one battery's evidence, as JSON
SHORTEST_SECRET = 4
OWN = ("check", "http")  # what is measured with one monitor's own settings, and says nothing of another's


def clean(value: Any, hidden: Sequence[str] = (), depth: int = 0) -> Any:
    """The same JSON without what a database refuses or a page cannot bear (NULs, half characters, NaN, endless nesting), and without these texts."""
    if isinstance(value, str):
        text = value.replace("\0", "").encode("utf-8", "replace").decode()
        for secret in hidden:
            text = text.replace(secret, MASK)
        return text
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth > 12:
        return None
    if isinstance(value, dict):
        return {clean(str(k), hidden): clean(v, hidden, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v, hidden, depth + 1) for v in value]
    return value if value is None or isinstance(value, bool | int) else str(value)


def texts_of(secrets: Any) -> list[str]:
    """The texts among a monitor's secrets that must stand nowhere, longest first; very short ones stand by chance in too many places."""
    if isinstance(secrets, dict):
        found = [text for value in secrets.values() for text in texts_of(value)]
    elif isinstance(secrets, list | tuple):
        found = [text for value in secrets for text in texts_of(value)]
    else:
        found = [secrets] if isinstance(secrets, str) and len(secrets) >= SHORTEST_SECRET else []
    return sorted(set(found), key=lambda text: (-len(text), text))


def received(said: Any, probe: Probe, hidden: Sequence[str] = ()) -> dict[str, Any] | None:
    """Evidence as it came, under the name of the probe that sent it; None for what is no evidence or far too much of it."""
    if not isinstance(said, dict) or not isinstance(said.get("target"), dict):
        return None
    found: dict[str, Any] = clean(said, hidden)
    if len(json.dumps(found)) > LARGEST:
        return None
    found["paths"] = [_path(path) for path in _dicts(found.get("paths"))]
    if not isinstance(found["target"].get("address"), str | None):
        del found["target"]["address"]
    who = {"v": VERSION, "probe": probe.pk, "slug": probe.slug, "private": probe.client_id is not None, "network": probe.network}  # fmt: skip
    return {"at": 0.0, "took_ms": 0.0, "cut": [], **found, **who}


def _path(path: dict[str, Any]) -> dict[str, Any]:
    hops = [h for h in _dicts(path.get("hops")) if isinstance(h.get("address"), str | None)]
    return {**path, "hops": hops} if "hops" in path else path


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def adapted(evidence: dict[str, Any], battery: int, *, same_monitor: bool, kind: str) -> dict[str, Any]:
    """What was measured for another battery, as evidence for this one: without what only that monitor's settings say."""
    kept = {k: v for k, v in evidence.items() if same_monitor or k not in OWN}
    return {**kept, "target": {**evidence.get("target", {}), "kind": kind}, "reused_from": battery}
