"""How does a request prove to AWS, and to whatever speaks like it, who sends it? Signature Version 4, in its header form.

Pure: the time and the key are parameters, nothing is sent. S3 and its likenesses, Route 53 and the rest differ only in how
a path is written down (`_path`). Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
from collections import defaultdict
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from portal.outbound.message import Headers
from portal.outbound.target import DEFAULT_PORTS

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNRESERVED: Final = "-_.~"  # besides letters and digits: all that is never percent-encoded


def sign(
    method: str,
    url: str,
    headers: Headers,
    body: bytes | None,
    *,
    key: str,
    secret: str,
    region: str,
    service: str,
    now: datetime,
    session_token: str | None = None,
) -> dict[str, str]:
    """The headers to send: those given (all are signed) with `X-Amz-Date`, `Authorization` and what the service asks for.

    `url` is as it goes over the wire, percent-encoded. A name given twice is sent as one line, its values joined by
    commas. ValueError when `now` has no zone.
    """
    if now.tzinfo is None:
        raise ValueError("The time of a signature needs a zone.")
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body or b"").hexdigest()
    sent = _joined(headers)
    sent["X-Amz-Date"] = stamp
    if session_token is not None:
        sent["X-Amz-Security-Token"] = session_token
    if service == "s3":
        sent["X-Amz-Content-Sha256"] = digest
    parts = urlsplit(url)
    signed = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    signed["host"] = host_of(url)
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        (
            method.upper(),
            _path(parts.path or "/", service),
            _query(parts.query),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            digest,
        )
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(_signing_key(secret, scope), text.encode(), hashlib.sha256).hexdigest()
    sent["Authorization"] = f"{ALGORITHM} Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return sent


def host_of(url: str) -> str:
    """The Host header that a request to this URL carries: the port only where it is not the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def _joined(headers: Headers) -> dict[str, str]:
    """Each header once, as it was first spelled."""
    values: dict[str, list[str]] = defaultdict(list)
    spelled: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, dict) else headers:
        spelled.setdefault(name.lower(), name)
        values[name.lower()].append(value.strip())
    return {spelled[name]: ",".join(found) for name, found in values.items()}


def _path(path: str, service: str) -> str:
    """S3 takes a key as it is and encodes it once; everybody else tidies the path up and encodes what was sent again."""
    if service == "s3":
        return quote(unquote(path), safe="/" + UNRESERVED)
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            kept = kept[:-1]
        elif part not in ("", "."):
            kept.append(part)
    tidy = "/" + "/".join(kept) + ("/" if kept and path.endswith(("/", "/.", "/..")) else "")
    return quote(tidy, safe="/" + UNRESERVED)


def _query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    encoded = [(quote(unquote(k), safe=UNRESERVED), quote(unquote(v), safe=UNRESERVED)) for k, _, v in pairs]
    return "&".join(f"{k}={v}" for k, v in sorted(encoded))


def _signing_key(secret: str, scope: str) -> bytes:
    found = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        found = hmac.new(found, part.encode(), hashlib.sha256).digest()
    return found
