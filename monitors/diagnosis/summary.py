"""What is the verdict in one sentence? Plain words with the place and the regions, never a name from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .evidence import Verdict
from .reading import part, parts, told_number
from .scene import Scene
from .wording import age, hop, regions, safe, sentence

FIXED = {
    ("dns", "nxdomain"): "The name {host} does not exist any more (NXDOMAIN from its own name servers)",
    ("dns", "nodata"): "The name {host} has no address any more",
    ("dns", "servfail"): "The name {host} cannot be answered: resolvers report SERVFAIL",
    ("dns", "authoritative_timeout"): "The name servers of {host} do not answer",
    ("dns", "lame"): "The name servers {host} is delegated to do not serve its zone",
    ("dns", "delegation_missing"): "The domain of {host} is no longer delegated: has its registration expired?",
    ("dns", "bogus_dnssec"): "The DNSSEC signatures of {host} are not valid: resolvers refuse the name",
    ("dns", "one_resolver"): "A resolver answers {host} wrongly or not at all {where}; the name itself is well",
    ("dns", "wrong_answer"): "The name {host} leads to another address than usual",
    ("dns", "slow"): "The name {host} is answered slowly",
    ("tls", "wrong_host"): "The certificate that is shown is not for {host}",
    ("tls", "untrusted"): "The certificate of {host} comes from an issuer that is not trusted",
    ("tls", "incomplete"): "The certificate of {host} comes without its intermediate certificate",
    ("tls", "protocol"): "TLS with {host} fails: no common version or cipher",
    ("tls", "handshake"): "TLS with {host} fails",
    ("tls", "not_yet_valid"): "The certificate of {host} is not valid yet",
    ("transit", "loss_at_hop"): "Packets are lost from {hop} {where}",
    ("transit", "loss"): "Packets to {host} are lost {where}",
    ("transit", "black_hole_at_hop"): "Packets end at {hop} {where}",
    ("transit", "unreachable"): "Nothing gets through to {host} {where}",
    ("transit", "latency_at_hop"): "Everything is slower from {hop} {where}",
    ("transit", "mtu_black_hole"): "Full-sized packets to {host} vanish on the way (MTU), small ones arrive {where}",
    ("transit", "loop"): "Packets go round in a loop at {hop} {where}",
    ("transit", "one_way_loss"): "Packets to or from {host} are lost one way {where}: every hop on the way answers",
    ("transit", "filtered"): "TCP is filtered on the way to {host} {where}",
    ("transit", "admin_prohibited"): "{hop} refuses to pass packets on {where}",
    ("client_network", "edge_dead"): "The client's edge is dead: packets end at {hop} {where}",
    ("client_network", "connections_dropped"): "New connections to {host} get lost {where}, pings do not: the edge is full or too busy",
    ("service", "overloaded"): "Only some connections to {host} come about {where}: the service is full or too busy",
    ("client_network", "edge_loss"): "The client's line loses packets from {hop} {where}",
    ("client_network", "loss"): "The client's line loses packets {where}",
    ("client_network", "admin_prohibited"): "The client's edge refuses the packets {where}",
    ("client_network", "filtered"): "{Port} is filtered in front of the server: pings arrive, TCP does not",
    ("client_network", "lan"): "The client's local network is in trouble: its neighbours do not answer",
    ("client_network", "site_down"): "The client's site is dark {where}: not this server alone, its neighbours do not answer either",
    ("client_network", "unreachable"): "The client's network does not answer {where}",
    ("server", "host_down"): "The server is down: the network up to it answers, it does not {where}",
    ("server", "loss_at_host"): "The server loses packets {where}: the network up to it is clean",
    ("server", "slow"): "The server answers late {where}: the network up to it is as fast as usual",
    ("server", "unreachable"): "The server does not answer {where}",
    ("service", "port_closed"): "{Port} is closed: the server answers, the service does not listen",
    ("service", "hanging"): "The service hangs: it accepts connections and then says nothing {where}",
    ("service", "resets"): "The service resets its connections {where}",
    ("service", "no_answer"): "{Port} does not answer, though the server answers pings",
    ("application", "wrong_content"): "The service answers, but not with the content that is wanted",
    ("application", "wrong_answer"): "The service answers, but not as its protocol wants it",
    ("probe", "own_resolver"): "The probe's own resolver is dead {where}; the target is not to blame",
    ("probe", "own_line"): "The probe's own line is in trouble {where}; the target is not to blame",
}  # fmt: skip


def summarise(verdict: Verdict, scene: Scene, guess: str) -> str:
    """One sentence of at most 140 characters. `guess` is the layer that comes first where none is named."""
    layer, cause = verdict["layer"], verdict["cause"]
    confirming = verdict["regions"]["confirming"]
    asked = len([view for view in scene.views if not view.blind]) if layer != "probe" else len(scene.views)
    where = regions(confirming, max(asked, len(confirming)))
    host = safe(scene.host, 50)
    port = f"Port {scene.port}" if scene.port else "The port"
    at = hop(verdict["hop"], verdict["hop_address"], verdict["asn"], safe(verdict["as_name"], 30))
    if layer == "unknown":
        return _unknown(scene, guess)
    if cause == "route_moved":
        return sentence(_route(scene) + ":", "packets are lost", f"from {at}" if verdict["hop"] else "", where)
    if layer == "tls" and cause == "expired":
        return sentence(f"The certificate of {host} expired", _since(scene))
    if layer == "application" and cause in ("http_5xx", "http_4xx"):
        code = next(
            (part(v.battery.get("http")).get("code") for v in scene.failing if v.said("http") == "http_status"), ""
        )
        return sentence(f"The application answers with HTTP {safe(code, 8)}" if code else "The application answers with an error", where)  # fmt: skip
    if layer == "application" and cause == "slow":
        return sentence("The application is slow:", _slow(verdict), where)
    text = FIXED.get((layer, cause), "The problem lies with: {layer}")
    words = text.format(host=host, hop=at, where=where, Port=port, layer=layer.replace("_", " "))
    return sentence(words[:1].upper() + words[1:])


def also_words(layer: str, cause: str, text: str) -> str:
    """A further fault in one line."""
    return safe(f"{layer.replace('_', ' ')}: {text}")


def _unknown(scene: Scene, guess: str) -> str:
    if (silent := scene.unheard) and not scene.failing:
        return f"{silent} of those that see the failure have not measured yet; from the others all is well"
    if scene.views and not scene.failing and scene.well:
        return "It answers again: no probe sees the failure any more"
    if any(view.alive is False for view in scene.failing):
        return "The target does not answer, and the evidence does not tell what on the way to it is dead"
    if not scene.views:
        return "No probe has measured anything: where the problem lives is not known"
    return "The evidence does not tell where the problem lives"


def _route(scene: Scene) -> str:
    """`Route changed: Level3 → Cogent, 40 min ago`."""
    names: dict[int, str] = {asn: name for asn, name in scene.networks.values() if name}
    changes = parts(scene.evidence.get("route_changes"))
    probes = {view.probe for view in scene.failing}
    recent = [one for one in changes if str(one.get("probe")) in probes and told_number(one.get("at")) is not None]
    change: Mapping[str, Any] = max(recent, key=lambda one: told_number(one.get("at")) or 0, default={})
    moved = next((view.moved for view in scene.failing if view.moved), None)
    shown: Mapping[str, Any] = change or moved or {}
    before = [int(asn) for one in shown.get("as_before") or [] if (asn := told_number(one)) is not None]
    after = [int(asn) for one in shown.get("as_after") or [] if (asn := told_number(one)) is not None]
    left = next((asn for asn in before if asn not in after), None)
    came = next((asn for asn in after if asn not in before), None)
    ways = " → ".join(safe(names.get(asn) or f"AS{asn}", 24) for asn in (left, came) if asn)
    since = told_number(change.get("at")) if change else None
    ago = f", {age(scene.at - since)} ago" if since else ""
    return f"Route changed{': ' + ways if ways else ''}{ago}"


def _since(scene: Scene) -> str:
    for view in scene.failing:
        ended = told_number(part(view.battery.get("tls")).get("not_after"))
        if ended and 0 < scene.at - ended < 10 * 366 * 86_400:
            return f"{age(scene.at - ended)} ago"
    return ""


def _slow(verdict: Verdict) -> str:
    first = next(
        (one["text"] for one in verdict["for"] if "first byte" in one["text"] or "no answer" in one["text"]), ""
    )
    return first.split(", connections")[0] or "requests take longer than usual"
