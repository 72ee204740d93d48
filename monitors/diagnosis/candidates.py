"""Which causes does one probe's battery speak for? Rules, each with its weight and its sentence (`witnesses` has those of all together)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address, ip_network

from . import usual as usuals
from .clues import ANY, LOSSES, Clue
from .reading import part, parts, texts, told_number
from .scene import Scene, View
from .wording import hop, safe


# --- Names ---------------------------------------------------------------------------------------------------------------
def names(view: View, scene: Scene) -> Iterator[Clue]:
    """What the resolvers and the zone's own servers say."""
    found = part(view.battery.get("names"))
    system = part(found.get("system"))
    word = str(system.get("status") or "")
    if word in ("", "not_run"):
        if view.misled:
            yield Clue("dns", "wrong_answer", 3, "the name led it to another address than usual")
        return
    control = str(part(found.get("control")).get("status") or "")
    resolvers = [one for one in parts(found.get("resolvers")) if one.get("status") not in (None, "not_run")]
    source = [one for one in parts(found.get("authoritative")) if one.get("status") not in (None, "not_run")]
    delegation = str(part(found.get("delegation")).get("status") or "")
    if word == "ok":
        check = part(view.battery.get("check"))
        if (
            view.target.get("kind") == "dns" and check.get("error_class") == "content"
        ):  # what is right, the monitor knows
            yield Clue("dns", "wrong_answer", 6, f"the check says: {safe(check.get('message') or '', 120)}", True)
            return
        yield from _answered(view, system, resolvers, source)
        return
    others_ok = [one for one in resolvers if one.get("status") == "ok"]
    source_ok = [one for one in source if one.get("status") == "ok"]
    if control and control not in ("ok", "nodata", "nxdomain"):
        sick = [one for one in scene.seeing if one.resolver_dead]
        if len(sick) > 1:  # the same service, or the same trouble: not this probe's own affair
            yield Clue("dns", "one_resolver", 5.5, "the resolver of several probes answers for no name at all", True)
            return
        yield Clue("probe", "own_resolver", 5.5, "its own resolver does not answer for a name that must exist either", True)  # fmt: skip
        if others_ok or source_ok:
            yield Clue("dns", ANY, -3, "other name servers answer for it")
        return
    if others_ok and (source_ok or not source):
        weight = 5.0 if word not in ("timeout", "unreachable") else 1.4  # one packet may just have been lost
        yield Clue("dns", "one_resolver", weight, f"its resolver says {_words(word)}, other resolvers answer", True)
        return
    said = [str(one.get("status")) for one in source]
    agreeing = sum(1 for one in resolvers if one.get("status") == word)
    if "bogus" in {str(one.get("dnssec")) for one in (system, *resolvers)}:
        yield Clue("dns", "bogus_dnssec", 7, "the signatures of the zone are not valid (DNSSEC)", True)
    elif delegation == "missing":
        yield Clue("dns", "delegation_missing", 7, "the parent zone does not delegate the name any more", True)
    elif delegation == "lame" or (said and all(one in ("lame", "refused") for one in said)):
        yield Clue("dns", "lame", 6, "the name servers it is delegated to do not serve the zone", True)
    elif said and "nxdomain" in said and not source_ok:
        yield Clue("dns", "nxdomain", 7, "its own name servers say that the name does not exist", True)
    elif said and "nodata" in said and not source_ok:
        yield Clue("dns", "nodata", 6, "its own name servers have no address for the name", True)
    elif said and all(one in ("timeout", "unreachable") for one in said):
        if view.alive is False and beside(
            source, view.addresses
        ):  # what keeps packets from the one keeps them from the other
            yield Clue("dns", "authoritative_timeout", 1.0, "its own name servers, which stand beside the target, do not answer either")  # fmt: skip
        else:
            yield Clue("dns", "authoritative_timeout", 5.5, "none of the zone's own name servers answers", True)
    elif said and not source_ok:
        yield Clue("dns", "servfail", 5, f"the zone's own name servers say {_words(said[0])}", True)
    elif source_ok and resolvers and not others_ok:
        yield Clue("dns", "servfail", 4, f"no resolver gets an answer ({_words(word)}), though the zone's own servers give one", True)  # fmt: skip
    else:
        cause = word if word in ("nxdomain", "nodata", "servfail") else "authoritative_timeout"
        yield Clue("dns", cause, 2.5 + min(2, agreeing) * 0.8, f"the name is not answered ({_words(word)})", agreeing > 0)  # fmt: skip
        if not control and word in ("timeout", "servfail", "unreachable", "refused"):
            yield Clue("probe", "own_resolver", 2, "whether its resolver answers for other names is not known")


def beside(source: list[dict[str, object]], addresses: Iterable[str]) -> bool:
    """Do all these name servers stand in the networks (/24, /48) of these addresses?"""
    near = {net for one in addresses if (net := _net(one))}
    servers = [_net(str(one.get("address") or one.get("server") or "").split()[-1:]) for one in source]
    return bool(near) and bool(servers) and all(net in near for net in servers)


def _net(address: str | list[str]) -> str:
    text = address if isinstance(address, str) else "".join(address)
    try:
        ip = ip_address(text)
    except ValueError:
        return ""
    return str(ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def _answered(view: View, system: dict[str, object], resolvers: list[dict[str, object]], source: list[dict[str, object]]) -> Iterator[Clue]:  # fmt: skip
    now = set(texts(system.get("addresses")))
    before = set(texts(part(view.usual.get("names")).get("addresses")))
    true = {one for answer in source for one in texts(answer.get("addresses"))}
    others = {one for answer in resolvers for one in texts(answer.get("addresses"))}
    if now and true and not now & true and (not before or not now & before):
        agree = bool(others & now)
        cause = "wrong_answer" if agree else "one_resolver"
        yield Clue("dns", cause, 6, "its resolver gives another address than the zone's own name servers", True)
    elif now and before and not now & before:
        if true & now:
            weight = 6.0 if view.elsewhere else 2.0
            yield Clue("dns", "wrong_answer", weight, "the zone's own name servers give another address than usual", view.elsewhere)  # fmt: skip
        elif others & before:
            yield Clue("dns", "one_resolver", 5, "its resolver gives another address than usual, other resolvers the usual one", True)  # fmt: skip
        else:
            yield Clue("dns", "wrong_answer", 2.5, "the name has another address than usual")
    elif now and now & (before or true):
        yield Clue("dns", ANY, -5, "the name is answered as usual")
    elif now:
        yield Clue("dns", ANY, -3, "the name is answered")


def _words(status: str) -> str:
    return {"nxdomain": "NXDOMAIN", "servfail": "SERVFAIL", "timeout": "no answer", "nodata": "no address"}.get(
        status, safe(status, 20)
    )


# --- The handshake and what follows ---------------------------------------------------------------------------------------
def slow_way(view: View) -> bool:
    """Did the packets themselves take much longer than usual, so that a request may run out of time without the application's doing?"""
    connect = told_number(part(part(view.battery.get("check")).get("phases")).get("connect_ms")) or 0.0
    at = told_number(view.battery.get("at")) or 0.0
    known = usuals.phase(view.usual, "connect_ms", at)
    return connect > 300 + (known[2] if known else 0.0) or any(path.slow_ms > 300 for path in view.paths)


CERTIFICATE = {
    "expired": "the certificate has expired", "not_yet_valid": "the certificate is not valid yet", "wrong_host": "the certificate is for another name",
    "untrusted": "the certificate's issuer is not trusted", "incomplete": "the certificate comes without its intermediate", "protocol": "the handshake fails: no common TLS version or cipher",
}  # fmt: skip


def handshake(view: View, scene: Scene) -> Iterator[Clue]:
    """TCP, TLS and HTTP: how far does a conversation get?"""
    if view.elsewhere:  # what answers there is another machine
        return
    tls, http, connect = view.said("tls"), view.said("http"), view.said("connect")
    usual = part(view.usual.get("tls"))
    if tls in CERTIFICATE:
        yield Clue("tls", tls, 7 if tls != "protocol" else 4.5, CERTIFICATE[tls], True)
        now = part(view.battery.get("tls")).get("fingerprint")
        if usual.get("fingerprint") and now and now != usual["fingerprint"]:
            yield Clue("tls", tls, 0.5, "the certificate is another one than usual")
    elif tls == "ok":
        yield Clue("tls", ANY, -6, "the handshake and the certificate are fine")
    if tls in (*CERTIFICATE, "ok"):
        for layer in ("server", "client_network"):
            yield Clue(layer, ANY, -4, "the server answers and speaks TLS", but=LOSSES)
    black_hole = view.said("size") == "black_hole"
    stalled = tls == "stalled" or http in ("stalled", "timeout")
    if black_hole and (stalled or connect in ("", "ok", "some")) and (stalled or view.failing):
        small = part(view.battery.get("size")).get("largest")
        before = told_number(view.usual.get("largest"))
        small_number = told_number(small) or 0
        usually = before is not None and before <= small_number
        if view.lossy or tls == "ok":  # lost by chance among others; and a certificate that came was large
            stalled, usually = False, usually or view.lossy
        bound = f" (more than {int(small_number)} bytes)" if small_number else ""
        if not usually:
            yield Clue("transit", "mtu_black_hole", 6.5 if stalled else 3.0, f"full-sized packets{bound} vanish, small ones arrive", stalled)  # fmt: skip
    elif tls == "stalled":
        sized = view.said("size") == "ok"
        yield Clue("service", "hanging", 5 if sized else 3.5, "it accepts connections and then says nothing", True)
        if not sized and not view.lossy:
            yield Clue("transit", "mtu_black_hole", 2.0, "whether full-sized packets arrive is not known")
    elif http in ("stalled", "timeout") and slow_way(view):
        yield Clue("application", "slow", 1.0, "the request gets no answer in time, but its packets took long as well")
    elif http in ("stalled", "timeout"):
        if tls == "ok" or "tls_ms" in part(part(view.battery.get("check")).get("phases")):
            yield Clue("application", "slow", 4.5, "TLS is spoken, but the request gets no answer in time", True)
            yield Clue("service", "hanging", 1.5, "the request gets no answer in time")
        elif count_bytes(view):
            yield Clue("application", "slow", 4, "the answer begins and does not end", True)
        else:
            yield Clue("service", "hanging", 3.5, "it accepts connections and then says nothing", True)
            yield Clue("application", "slow", 3, "the request gets no answer in time")
    if tls == "reset" or http == "reset" or connect == "reset":
        yield Clue("service", "resets", 4.5, "it resets connections once they stand", True)
    if connect == "refused":
        yield Clue("service", "port_closed", 6.5, "the port is closed: the machine itself refuses connections", True)
        for layer in ("server", "client_network", "transit"):
            yield Clue(layer, ANY, -3, "the machine itself answers", but=LOSSES)
    if connect in ("ok", "some"):
        for layer in ("server", "client_network"):
            yield Clue(layer, ANY, -3 if connect == "ok" else -1.5, "TCP connections are accepted", but=LOSSES)
        yield Clue("service", "port_closed", -5, "TCP connections are accepted")
    if connect == "ok" and not view.lossy and not (black_hole and stalled):
        yield Clue("transit", ANY, -2.5, "connections and pings pass without loss", but=("latency_at_hop", "mtu_black_hole"))  # fmt: skip
    yield from _http(view, http)
    yield from _other_check(view, scene)


def count_bytes(view: View) -> int:
    """How much of an answer came."""
    return int(told_number(part(view.battery.get("http")).get("bytes")) or 0)


def _http(view: View, word: str) -> Iterator[Clue]:
    http = part(view.battery.get("http"))
    code = told_number(http.get("code"))
    if word == "http_status":
        cause = "http_5xx" if code is None or code >= 500 else "http_4xx"
        yield Clue("application", cause, 7, f"it answers with HTTP {int(code)}" if code else "it answers with an error", True)  # fmt: skip
    elif word == "content":
        yield Clue("application", "wrong_content", 7, "it answers with another content than wanted", True)
    elif word in ("protocol", "too_large", "redirect"):
        yield Clue("application", "wrong_answer", 4.5, "it answers, but not as HTTP wants it", True)
    if word in ("ok", "http_status", "content", "redirect", "too_large"):
        yield Clue("service", ANY, -5, "it answers requests")
        if word == "ok":
            yield Clue("application", "http_5xx", -4, "requests are answered well")
            yield Clue("application", "wrong_content", -4, "requests are answered well")
        for layer in ("tls", "server", "client_network", "transit"):
            yield Clue(layer, ANY, -2, "requests are answered", but=LOSSES)


def _other_check(view: View, scene: Scene) -> Iterator[Clue]:
    """What the check says of its own protocol, where no part of the battery speaks of it."""
    check = part(view.battery.get("check"))
    error = check.get("error_class")
    if view.said("http") or view.said("tls") not in ("", "ok") or not isinstance(error, str):
        return
    message = safe(check.get("message") or "", 120)
    if error == "http_status":
        yield Clue("application", "http_5xx" if " 5" in message or not message else "http_4xx", 5, f"the check says: {message}", True)  # fmt: skip
    elif error == "content" and view.target.get("kind") != "dns":
        yield Clue("application", "wrong_content", 5, f"the check says: {message}", True)
    elif error == "protocol":
        yield Clue("application", "wrong_answer", 3, f"the check says: {message}", True)
    elif error == "connect_refused" and not view.said("connect"):
        yield Clue("service", "port_closed", 5, "the check's connection was refused", True)
    elif error == "reset":
        yield Clue("service", "resets", 3.5, "the check's connection was reset", True)
    elif error == "timeout" and view.said("connect") == "ok" and not view.said("tls"):
        yield Clue("service", "hanging", 2.6, "it accepts connections and then says nothing")
        yield Clue("application", "slow", 2.2, "the request gets no answer in time")
        if view.said("size") != "ok" and not view.lossy:
            yield Clue("transit", "mtu_black_hole", 1.8, "whether full-sized packets arrive is not known")
    elif error in ("timeout", "connect_timeout") and view.alive and not view.said("connect"):  # UDP has no handshake
        yield Clue("service", "no_answer", 3.5, "the machine answers, the service says nothing")
        yield Clue("client_network", "filtered", 1.5, "the machine answers, what is sent to the port may be filtered")
    elif error == "dns" and not view.battery.get("names"):
        alone = len(scene.failing) == 1
        yield Clue("dns", "servfail", 1.0 if alone else 2.0, "the check got no address; what name servers say was not measured")  # fmt: skip
        yield Clue(
            "probe",
            "own_resolver",
            1.5 if alone and scene.well else 1.0,
            "whether its resolver answers for other names is not known",
        )
    elif error == "tls" and not view.said("tls"):
        yield Clue("tls", "handshake", 4, f"the check says: {message}", True)


# --- Speed ---------------------------------------------------------------------------------------------------------------
def speed(view: View, scene: Scene) -> Iterator[Clue]:
    """Which phase of the check is slower than usual?"""
    times = part(part(view.battery.get("http")).get("phases")) or part(part(view.battery.get("check")).get("phases"))
    at = told_number(view.battery.get("at")) or scene.at

    def excess(name: str) -> tuple[float, float] | None:
        now, known = told_number(times.get(name)), usuals.phase(view.usual, name, at)
        if now is None:
            return None
        if known is None:
            return (now, 0.0)
        return (now - known[1], known[2]) if now > known[2] * 1.5 + 50 else (0.0, known[2])

    first, connect = excess("first_byte_ms"), excess("connect_ms")
    slow_path = max((path.slow_ms for path in view.paths), default=0.0)
    if first and first[0] > 400 and first[0] > 4 * max(slow_path, connect[0] if connect else 0.0):
        known = usuals.phase(view.usual, "first_byte_ms", at)
        beside = f" instead of {known[1] / 1000:.1f} s" if known else ""
        weight = 5.0 if known else 3.5
        yield Clue("application", "slow", weight, f"the first byte takes {first[0] / 1000:.1f} s{beside}, connections are as fast as usual", True)  # fmt: skip
    slow_name = excess("dns_ms")
    if slow_name and slow_name[0] > 800:
        yield Clue("dns", "slow", 3, f"the name takes {slow_name[0] / 1000:.1f} s to be answered")
    if slow_path <= 50 and connect and connect[1] and connect[0] > 300 and not view.paths:
        yield Clue("transit", "latency_at_hop", 2, f"connections take {connect[0]:.0f} ms longer than usual")


# --- Reach -----------------------------------------------------------------------------------------------------------------
def reach(view: View, scene: Scene) -> Iterator[Clue]:
    """Does anything come back at all, and if some protocols only, who keeps the others away?"""
    if view.misled:
        return
    if view.alive is False:
        for layer in ("application", "tls"):
            yield Clue(layer, ANY, -4, "nothing comes back from the target at all")
        yield Clue("service", ANY, -3, "nothing comes back from the target at all")
        if not view.paths:
            for layer, weight in (("server", 1.5), ("client_network", 1.2), ("transit", 1.2)):
                yield Clue(layer, "unreachable", weight, "nothing comes back from the target")
        return
    if view.alive is not True or view.said("connect") not in ("timeout", "unreachable"):
        return
    tcp = next((path for path in view.paths if path.proto == "tcp"), None)
    icmp_alive = view.ping[1] > 0 or any(path.reached for path in view.paths if path.proto == "icmp")
    if tcp is not None and tcp.reached:
        return
    lan = part(view.battery.get("own"))
    if tcp is not None and tcp.gives_up is not None:
        gap = scene.behind.get(tcp.gives_up.address or "")
        near = gap is None or gap <= 2
        words = f"{hop(tcp.gives_up.ttl, tcp.gives_up.address, tcp.gives_up.asn)} refuses to pass TCP on"
        yield Clue("client_network" if near else "transit", "admin_prohibited", 6, words, True)
    elif tcp is not None and tcp.last is not None and icmp_alive:
        gap = scene.behind.get(tcp.last.address or "")
        if gap is not None and gap >= 2:
            layer = "client_network" if gap == 2 else "transit"
            yield Clue(layer, "filtered", 3.5, "pings arrive, TCP ends earlier on the way", True)
        else:
            yield Clue("client_network", "filtered", 3.2, "pings arrive, TCP to the port ends right before the target")
            yield Clue("service", "no_answer", 3.0, "the machine answers pings, the port says nothing")
    elif icmp_alive:
        yield Clue("service", "no_answer", 2.5, "the machine answers pings, the port says nothing")
        yield Clue("client_network", "filtered", 2.5, "pings arrive, TCP to the port does not")
    if lan.get("target_on_lan") and lan.get("arp") == "complete":
        yield Clue("service", "no_answer", 1.5, "it is there on its own network")


def own_line(view: View, scene: Scene) -> Iterator[Clue]:
    """Is it the probe itself that is badly connected?"""
    if len(scene.failing) > 1 or not scene.well or view.connected:
        return
    first = [path.last for path in view.paths]
    if view.alive is False and first and all(step is None or step.ttl <= 2 for step in first):
        yield Clue("probe", "own_line", 3.5, "nothing it sends gets beyond its own network, others reach the target")


VIEW_RULES: tuple[Callable[[View, Scene], Iterable[Clue]], ...] = (names, handshake, speed, reach, own_line)
