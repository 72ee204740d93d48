"""How does a verdict read? Pure: stored JSON in, words for pages out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alerts.channels.wording import SURE
from console.pages.report_evidence import LONG, number, plain, rows, table, whole, words

LAYERS = {
    "dns": "Names (DNS)", "tls": "Certificate and encryption (TLS)", "transit": "The route in between", "client_network": "The site's own network",
    "server": "The server", "service": "The service on the server", "application": "The application", "probe": "Our own probe", "unknown": "Not known",
}  # fmt: skip


def sure(confidence: object, layer: str = "") -> str:
    """How sure it is, in the same words as in messages."""
    value = number(confidence)
    if value is None or layer == "unknown":
        return "not sure"
    return next((word.lower() for least, word in SURE if value >= least), "not sure")


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict as people read it. `for_` and `against` are (text, names of the probes that saw it)."""

    summary: str = ""
    layer: str = ""
    layer_word: str = ""
    confidence: float | None = None
    sure: str = ""
    for_: list[tuple[str, list[str]]] = field(default_factory=list)
    against: list[tuple[str, list[str]]] = field(default_factory=list)
    ruled_out: list[tuple[str, str]] = field(default_factory=list)  # (layer in words, why)
    also: list[str] = field(default_factory=list)
    candidates: list[tuple[str, str, float]] = field(default_factory=list)  # (layer in words, cause, confidence)
    confirming: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    hop: str = ""


def judged(verdict: object, names: Mapping[str, str]) -> Judged | None:
    """The verdict in words; None while there is none. `names` are the probes' names by slug."""
    v = table(verdict)
    if not plain(v.get("summary")):
        return None
    layer, regions = plain(v.get("layer")) or "unknown", table(v.get("regions"))

    def called(slugs: object) -> list[str]:
        return [names.get(slug, slug) for slug in words(slugs, 200)]

    def reasons(found: object) -> list[tuple[str, list[str]]]:
        return [(text, called(r.get("probes"))) for r in rows(found) if (text := plain(r.get("text"), LONG))]

    hop, address, asn = whole(v.get("hop")), plain(v.get("hop_address"), 64), whole(v.get("asn"))
    network = f"AS{asn} {plain(v.get('as_name'), 60)}".strip() if asn is not None else plain(v.get("as_name"), 60)
    at_hop = f"hop {hop}" if hop is not None else ""
    return Judged(
        summary=plain(v.get("summary"), LONG), layer=layer, layer_word=LAYERS.get(layer, layer), confidence=number(v.get("confidence")),
        sure=sure(v.get("confidence"), layer), for_=reasons(v.get("for")), against=reasons(v.get("against")),
        ruled_out=[(LAYERS.get(plain(r.get("layer")), plain(r.get("layer"))), plain(r.get("text"), LONG)) for r in rows(v.get("ruled_out"))],
        also=[text for r in rows(v.get("also")) if (text := plain(r.get("summary"), LONG))],
        candidates=[
            (LAYERS.get(plain(r.get("layer")), plain(r.get("layer"))), plain(r.get("cause")).replace("_", " "), number(r.get("confidence")) or 0.0)
            for r in rows(v.get("candidates"), 8)
        ],
        confirming=called(regions.get("confirming")), asked=called(regions.get("asked")),
        hop=", ".join(part for part in (at_hop, address, network) if part),
    )  # fmt: skip
