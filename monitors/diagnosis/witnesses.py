"""Which causes do all probes together speak for? Where packets end or get lost, who agrees, what else fails nearby."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from .clues import ANY, DESTINATION, LOSSES, Clue
from .reading import part, parts, told_number
from .scene import Scene, View
from .whereabouts import Place, Whereabouts
from .wording import age, hop, safe

ENOUGH_BESIDE = 16  # packets without a loss: one in three lost would show in all but two of a thousand


def ends(scene: Scene, where: Whereabouts) -> Iterator[Clue]:
    """Packets end somewhere: which layer is that?"""
    if not where.places:
        return
    slugs = tuple(view.slug for view in where.views)
    few = 0.0 if where.known else -2.2
    causes = {"server": "host_down", "client_network": "edge_dead", "transit": "black_hole_at_hop", "probe": "own_line"}
    told = [path.gives_up for view in where.views for path in view.paths if path.gives_up is not None]
    for layer, cause in causes.items():
        share, best = where.share(layer), where.best(layer)
        if best is None:
            continue
        said = next((one.said for one in told if one.said == "admin" and one.address == best.address), "")
        name = "admin_prohibited" if said else "loop" if layer == "transit" and _loops(where) else cause
        text = {
            "server": "packets come as far as the last router before the target, and the target is silent",
            "client_network": "packets end at the client's edge"
            if not said
            else "the client's edge refuses to pass them on",
            "transit": f"packets end at {hop(best.ttl, best.address, *scene.networks.get(best.address or '', (None, '')))}",
            "probe": "packets end within the probe's own network",
        }[layer]
        yield Clue(layer, name, (5.5 + few) * max(0.0, share - 0.1) + (0.8 if share > 0.1 else 0), text, share > 0.7 and where.known, slugs, best)  # fmt: skip
        if share < 0.1:
            yield Clue(layer, ANY, -2.5, "packets do not end there", but=("lan", "site_down"))
    watched, failing = scene.beside
    near = where.share("server") + where.share("client_network")
    if near > 0.5 and watched >= 2 and failing >= 0.75 * watched:
        # Machines of their own do not die at the same moment: what they share does.
        text = f"{failing} of {watched} monitors of other addresses at the same site fail too"
        yield Clue("client_network", "site_down", 5.0, text, slugs=slugs)
        yield Clue("server", ANY, -2.0, text, slugs=slugs)
    elif watched and not failing and not site_private(scene):
        text = f"{watched} {'monitor' if watched == 1 else 'monitors'} of other addresses at the same site {'is' if watched == 1 else 'are'} well"
        yield Clue("client_network", ANY, -6.0, text, slugs=slugs)
    if told and any(one.said in ("host", "net") for one in told):
        one = next(one for one in told if one.said in ("host", "net"))
        word = "host unreachable" if one.said == "host" else "network unreachable"
        layer = max(causes, key=where.share)
        yield Clue(layer, ANY, 0.8, f"{hop(one.ttl, one.address, one.asn, one.as_name)} says: {word}", slugs=slugs)


def site_private(scene: Scene) -> bool:
    """Is the monitor looked at from within only? Then what is well beside it need not pass its edge."""
    return bool(scene.views) and all(view.private for view in scene.views)


def _loops(where: Whereabouts) -> bool:
    return sum(1 for view in where.views if any(path.loop for path in view.paths)) * 2 > len(where.views)


def loss(scene: Scene, where: Whereabouts) -> Iterator[Clue]:
    """Packets get lost now and then: from where on?"""
    if where.evidence < 4 or not where.views:
        return
    strength = min(6.0, 1.5 + where.evidence / 8)
    slugs = tuple(view.slug for view in where.views)
    public = [view for view in scene.outside if view.alive]
    clean = [view for view in public if view not in where.views and view.passed >= 8]
    everywhere = not clean
    if not where.places:
        layer = "transit" if not everywhere or len(public) < 2 else "client_network"
        yield Clue(layer, "loss", strength * 0.6, "packets get lost, but no path says where", slugs=slugs)
        if len(where.views) == 1 and len(clean) >= 2:
            yield Clue("probe", "own_line", strength * 0.6, "packets get lost for this probe only", slugs=slugs)
        return
    if (
        everywhere
        and (spared := [view for view in where.views if _only_tcp(view)])
        and len(spared) * 2 > len(where.views)
    ):
        yield from _dropped(scene, strength, tuple(view.slug for view in spared))
        return
    for place in where.places[:4]:
        if place.share < 0.05:
            continue
        first_hops = len(public) > 1 and (place.layer == "probe" or _own_network(place, where.views, scene))
        layer, cause = "transit" if place.layer == "probe" else place.layer, "loss_at_hop"
        if layer == "server" and not everywhere:
            layer, cause = "transit", "one_way_loss"
        elif layer == "client_network" and not everywhere:
            layer = "transit"
        elif layer == "server" and (beside := [view for view in scene.seeing if _clean_beside(view)]):
            # The machine gives and takes every packet where nothing stands between: it is the way out of its network.
            layer, cause = "transit", "one_way_loss"
            text = f"on its own network all of {sum(view.passed for view in beside)} packets come back"
            yield Clue("server", ANY, -3.0, text, slugs=tuple(view.slug for view in beside))
        elif layer == "server":
            cause = "loss_at_host"
            if scene.site_dark:  # others at other addresses suffer too: it is what they share
                yield Clue("client_network", "loss", strength * 0.9, "packets get lost behind the client's edge, for others of the site too", slugs=slugs)  # fmt: skip
                yield Clue("server", ANY, -2.0, "others of the site suffer too", slugs=slugs)
        elif layer == "client_network":
            cause = "edge_loss"
        elif first_hops:
            layer, cause = "probe", "own_line"
        words = f"loss starts at {hop(place.ttl, place.address, *scene.networks.get(place.address or '', (None, '')))} and stays until the end"  # fmt: skip
        if cause == "one_way_loss":
            words = "every hop on the way answers, only what comes from the target gets lost"
        yield Clue(layer, cause, strength * min(1.0, place.share + 0.15), words, place.share > 0.5 and where.evidence > 8, slugs, place)  # fmt: skip


def _clean_beside(view: View) -> bool:
    """Does a probe on the target's own network get every packet back, and enough of them to tell?"""
    if not (view.private and part(view.battery.get("own")).get("target_on_lan")) or view.passed < ENOUGH_BESIDE:
        return False
    ends = [path.steps[-1] for path in view.paths if path.reached]
    return view.ping[0] == view.ping[1] and view.tries[0] == view.tries[1] and all(end.got == end.sent for end in ends)


def _only_tcp(view: View) -> bool:
    """Are pings answered to the last while connections come about now and then only?"""
    return view.ping[0] >= 8 and view.ping[1] == view.ping[0] and view.tries[1] < view.tries[0]


def _dropped(scene: Scene, strength: float, slugs: tuple[str, ...]) -> Iterator[Clue]:
    """New connections get lost and pings do not: whoever counts connections is full, the edge or the service itself."""
    text = "all pings are answered, but only some connections come about"
    watched, failing = scene.around.get("same_address", (0, 0))
    several = failing >= 1 and failing * 2 >= watched
    yield Clue("client_network", "connections_dropped", strength * 0.6 + (1.5 if several else 0), text, slugs=slugs)
    yield Clue("service", "overloaded", strength * 0.6 + (0 if several else 1.0), text, slugs=slugs)
    yield Clue("server", ANY, -3, text, slugs=slugs)


def _own_network(place: Place, views: list[View], scene: Scene) -> bool:
    """Does this place stand in the network that the only probe concerned is connected to, and nobody else goes through it?"""
    if len(views) != 1 or scene.alive_routers.get(place.address or "", 0) > int(views[0].well):
        return False
    asn = scene.networks.get(place.address or "", (None, ""))[0]
    first = next((step.asn for path in views[0].paths for step in path.steps if step.asn is not None), None)
    return asn is not None and asn == first and place.gap is not None and place.gap > 1


def latency(scene: Scene) -> Iterator[Clue]:
    """Everything takes longer than usual: from which hop on, for most of those who see it?"""
    slow = [(view, max(view.paths, key=lambda path: path.slow_ms)) for view in scene.failing if view.paths]
    slow = [(view, path) for view, path in slow if path.slow_ms > 50 and path.slow_from is not None]
    if not slow:
        return
    places: dict[str, Place] = {}
    for view, path in slow:
        step = path.slow_from
        if step is None or step.address is None or path.last is None:
            continue
        place = places.setdefault(step.address, Place(step.address, step.address, path.last.ttl - step.ttl))
        place.ttls[step.ttl] += 1
        place.slugs.append(view.slug)
    if not places:
        return
    place = max(places.values(), key=lambda one: (len(one.slugs), one.key))
    more = sorted(path.slow_ms for _, path in slow)[len(slow) // 2]
    layer, cause = "transit", "latency_at_hop"
    if place.gap == 0 and len(slow) == len(scene.failing):
        layer, cause = "server", "slow"
    text = f"every packet takes {more:.0f} ms longer than usual from {hop(place.ttl, place.address, *scene.networks.get(place.address or '', (None, '')))} on"  # fmt: skip
    weight = min(5.0, 2.2 + more / 150) * len(slow) / len(scene.failing)
    yield Clue(layer, cause, weight, text, more > 200, tuple(view.slug for view, _ in slow), place)


def route(scene: Scene) -> Iterator[Clue]:
    """Did the way move, for those that fail?"""
    changed = [view for view in scene.failing if view.moved]
    recent = [
        (one, scene.at - (told_number(one.get("at")) or 0.0))
        for one in parts(scene.evidence.get("route_changes"))
        if str(one.get("probe")) in {view.probe for view in scene.failing}
    ]
    recent = [(one, since) for one, since in recent if 0 <= since <= 7200]
    if not changed and not recent:
        return
    slugs = tuple(view.slug for view in changed)
    text = "the route is another one than usual"
    if recent:
        text = f"the route changed {age(min(since for _, since in recent))} ago"
    share = max(len(changed), 1) / max(1, len(scene.failing))
    steady = [view for view in scene.well if view.moved]
    yield Clue("transit", ANY, (1.8 if not steady else 0.3) * share, text, slugs=slugs)


def agreement(scene: Scene) -> Iterator[Clue]:
    """Who sees it and who does not? What is broken at the destination is broken for all."""
    # Who is well only by luck, packets being lost there too, contradicts nobody.
    well = [view for view in scene.well if not view.lossy]
    n, m = len(scene.failing), len(well)
    if n and m:
        share = m / (n + m)
        slugs = tuple(view.slug for view in well)
        inside = tuple(view.slug for view in well if view.private)
        for layer in DESTINATION:
            if layer == "client_network" and len(inside) == m:
                continue  # within the client's network all is well: that says nothing of its edge
            weight = -5 * share - 1.0
            yield Clue(layer, ANY, weight, f"{m} of {n + m} probes find all well", slugs=slugs, but=LOSSES)
        yield Clue("transit", ANY, 0.5, f"{m} of {n + m} probes find all well", slugs=slugs)
        if inside and not any(view.private for view in scene.failing):
            yield Clue("client_network", ANY, 1.5, "from inside the client's network all is well", slugs=inside)
            if all(view.said("connect") == "timeout" and view.alive for view in scene.failing):
                yield Clue("client_network", "filtered", 3, "connections stand from inside, and from outside they do not", slugs=inside)  # fmt: skip
        if n == 1 and m >= 2:
            yield Clue("probe", ANY, 0.8, "only one probe sees it", slugs=slugs)
    elif n >= 3:
        yield Clue("probe", ANY, -5, f"{n} probes see it alike")


def blindness(scene: Scene) -> Iterator[Clue]:
    """Probes that do not see: their own line, or (a private one) its client's."""
    blind = [view for view in scene.views if view.blind]
    public = [view for view in blind if not view.private]
    slugs = tuple(view.slug for view in blind)
    if public and not scene.failing:
        yield Clue("probe", "own_line", 7, "it reaches none of its anchors", True, slugs)
    if scene.blind_unheard and not scene.failing and scene.well:
        n = scene.blind_unheard
        yield Clue("probe", "own_line", 5.0, f"{n} {'probe reaches' if n == 1 else 'probes reach'} none of their anchors, all others find all well", True)  # fmt: skip
    for view in scene.views:
        if not view.private:
            continue
        own = part(view.battery.get("own"))
        gateway, near = part(own.get("gateway")), part(own.get("neighbours"))
        silent = (told_number(gateway.get("sent")) or 0) > 0 and not told_number(gateway.get("got"))
        asked, answered = told_number(near.get("asked")) or 0, told_number(near.get("answered")) or 0
        unreachable = any(one.alive is False for one in scene.failing if not one.private)
        here = (view.slug,)
        if view.blind and (unreachable or not [one for one in scene.seeing if not one.private]):
            yield Clue(
                "client_network", "edge_dead", 3, "the private probe is cut off from the internet as well", slugs=here
            )
        if view.blind and asked and answered:
            yield Clue(
                "client_network", ANY, 1.5, "private probe: local network clean, the way out is dead", slugs=here
            )
        elif asked and answered * 2 >= asked and not view.failing:
            yield Clue("client_network", ANY, 0.5 if unreachable else -1, "private probe: local network clean", slugs=here, but=LOSSES)  # fmt: skip
        if silent and view.blind:
            yield Clue("client_network", "edge_dead", 2, "the private probe's gateway does not answer", slugs=here)
        elif silent is False and gateway.get("got") and not view.blind and unreachable:
            yield Clue("client_network", "edge_dead", -4, "the private probe's gateway answers and passes packets on", slugs=here)  # fmt: skip
        dead = bool(asked) and not answered and (silent or not gateway)
        if dead and unreachable:
            yield Clue("client_network", "lan", 5, "nobody on the private probe's own network answers, its router neither", True, here)  # fmt: skip
            yield Clue("server", ANY, -3.5, "its whole network is dead, not this machine alone", slugs=here)
        elif own.get("target_on_lan") and own.get("arp") == "failed":
            yield Clue(
                "server", "host_down", 5, "on its own network nobody answers for the target's address", True, here
            )
        elif own.get("target_on_lan") and own.get("arp") == "complete":
            yield Clue("server", "host_down", -5, "on its own network the machine is there", slugs=here)
            if view.said("connect") == "ok" and unreachable:
                yield Clue("client_network", "edge_dead", 3, "on its own network the service answers", slugs=here)
        if asked and not answered and not view.blind:
            yield Clue("client_network", "lan", 2.5, "the private probe's neighbours do not answer", slugs=here)


def neighbours(scene: Scene) -> Iterator[Clue]:
    """Do others fail that share something with it?"""
    table: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
        ("same_site", "client_network", ("server",), "other monitors of the same site"),
        ("same_as", "transit", (), "other monitors in the same AS"),
        ("same_address", "server", ("service",), "other monitors of the same address"),
        ("same_host", "server", ("service",), "other monitors of the same host"),
        ("same_probe", "probe", (), "other monitors of the same probe"),
        ("same_dns", "dns", (), "other monitors with the same name servers"),
    )
    elsewhere, dark = scene.beside
    for key, layer, less, words in table:
        watched, failing = scene.around.get(key, (0, 0))
        if key == "same_site" and failing and elsewhere and not dark:
            continue  # all that fail stand at the target's own address: that says nothing of what is before it
        if watched < 2 and not (watched and key in ("same_address", "same_host", "same_site")):
            continue
        share = failing / watched
        if share >= 0.5:
            yield Clue(layer, ANY, 1.2 if watched >= 3 else 0.8, f"{failing} of {watched} {words} fail too")
            for other in less:
                yield Clue(other, ANY, -0.8, f"{failing} of {watched} {words} fail too")
        elif failing == 0:
            weight = -1.5 if key in ("same_address", "same_host", "same_probe", "same_site") else -0.5
            yield Clue(layer, ANY, weight, f"none of {watched} {words} fails")


CLASSES = {
    "dns": ("dns",), "connect_refused": ("service",), "connect_timeout": ("transit", "client_network", "server"), "tls": ("tls",), "http_status": ("application",),
    "content": ("application",), "reset": ("service",), "expired": ("tls",), "loss": ("transit", "client_network"),
}  # fmt: skip


def error(scene: Scene) -> Iterator[Clue]:
    """What did the failing check say?"""
    word = str(scene.failure.get("error_class") or "")
    kind = part(scene.evidence.get("monitor")).get("kind")
    of_names = (kind == "domain" and word == "expired") or (kind == "dns" and word == "content")
    layers = ("dns",) if of_names else CLASSES.get(word, ())
    message = safe(scene.failure.get("message") or "", 100)
    for layer in layers:
        yield Clue(layer, ANY, 1.2, f"the check says: {message}" if message else f"the check failed with {word}")
    if kind == "domain" and word == "expired":
        yield Clue("dns", "delegation_missing", 4, "the registration of the domain ends or has ended", True)


SCENE_RULES: tuple[Callable[[Scene], Iterable[Clue]], ...] = (latency, route, agreement, blindness, neighbours, error)
