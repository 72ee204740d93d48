"""What can go wrong, and what is the right answer? The labelled situations, three variants each, at other places."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab import internet
from tests.lab.faults import (
    AUTHORITIES,
    Situation,
    Variant,
    blip,
    both,
    certificate,
    failing_way,
    moods,
    ports,
    slow_way,
    sparing,
    v,
)

NORTH, SOUTH, PROVIDER, CLIENT = 64601, 64602, 64610, 64620
TO_WEB = f"ip daddr {internet.WEB}"
FROM_WEB = f"ip saddr {internet.WEB}"
ONE_A_SECOND = "limit rate over 1/second burst 1 packets"
SITUATIONS: list[Situation] = []


def situation(name: str, layers: str, *variants: Variant, ambiguous: bool = False) -> None:
    """Enter one."""
    SITUATIONS.append(Situation(name, tuple(layers.split()), variants, ambiguous))


# --- Carriers ---------------------------------------------------------------------------------------------------------
situation("loss at a carrier's router", "transit",
    v("shop", lambda b: b.loss("a4", 55), "a4 a2 a3", NORTH),
    v("ping", lambda b: b.loss("b3", 25), "b3 b1", SOUTH),
    v("api", lambda b: b.loss("p1", 45), "p1 a4 b3", PROVIDER))  # fmt: skip
situation("a carrier's router swallows", "transit",
    v("shop", lambda b: b.swallow("a4"), "a4 p1", NORTH, PROVIDER),
    v("plain", lambda b: b.swallow("b3"), "b3 p1", SOUTH, PROVIDER),
    v("db", lambda b: b.swallow("p1"), "p1 p2", PROVIDER))  # fmt: skip
situation("a carrier's router is dead", "transit",
    v("api", lambda b: b.vanish("a4"), "a4 a2 a3", NORTH),
    v("second", lambda b: b.vanish("b3"), "b3 b1", SOUTH),
    v("onprem", lambda b: b.vanish("p1"), "p1 a4 b3", PROVIDER, NORTH, SOUTH))  # fmt: skip
situation("a silent router swallows", "transit",
    v("shop", lambda b: b.swallow("b2"), "b1 b2 b3", SOUTH),
    v("api", lambda b: b.swallow("b2", TO_WEB), "b1 b2 b3", SOUTH),
    v("plain", lambda b: b.loss("b2", 60), "b1 b2 b3", SOUTH))  # fmt: skip
situation("a route moved and is slow", "transit",
    v("shop", lambda b: slow_way(b, "a"), "b3 a1", NORTH, SOUTH),
    v("api", lambda b: slow_way(b, "a"), "b3 a1", NORTH, SOUTH),
    v("plain", lambda b: slow_way(b, "b"), "a4 b1", NORTH, SOUTH))  # fmt: skip
situation("a route moved and fails", "transit",
    v("shop", lambda b: failing_way(b, 100), "b1 b2 b3 a1", NORTH, SOUTH),
    v("onprem", lambda b: failing_way(b, 60), "b1 b2 b3 a1", NORTH, SOUTH),
    v("db", lambda b: failing_way(b, 100), "b1 b2 b3 a1", NORTH, SOUTH))  # fmt: skip
situation("a carrier has no route", "transit",
    v("shop", lambda b: b.route("a1", "11.80.1.0/24", "unreachable"), "a1", NORTH),
    v("second", lambda b: b.route("b3", "11.80.1.0/24", "unreachable"), "b3", SOUTH),
    v("api", lambda b: b.route("p1", "11.80.1.0/24", "unreachable"), "p1", PROVIDER))  # fmt: skip
situation("a routing loop", "transit",
    v("plain", lambda b: b.route("a4", "11.80.1.0/24", "11.61.5.1"), "a4 a2", NORTH),
    v("shop", lambda b: b.route("b3", "11.80.1.0/24", "11.62.4.1"), "b3 b2 b1", SOUTH),
    v("db", lambda b: b.route("p2", "11.80.1.0/24", "11.70.0.1"), "p2 p1", PROVIDER))  # fmt: skip
situation("one of a carrier's parallel ways is bad", "transit",
    v("shop", lambda b: b.rules("a2", "forward drop"), "a2 a1 a4", NORTH),
    v("api", lambda b: b.vanish("a3"), "a3 a1 a2", NORTH),
    v("plain", lambda b: b.loss("a2", 70), "a2 a1 a4", NORTH))  # fmt: skip
situation("loss on the way there only", "transit",
    v("shop", lambda b: b.loss("a4", 65, TO_WEB), "a4 a2 a3", NORTH),
    v("api", lambda b: b.loss("b3", 65, TO_WEB), "b3 b1", SOUTH),
    v("ping", lambda b: b.loss("p2", 30, "ip daddr 11.80.1.0/24"), "p2 p1", PROVIDER))  # fmt: skip
situation("loss on the way back only", "transit",
    v("shop", lambda b: b.loss("a1", 65, FROM_WEB), "a1 a2 a3 a4 p1", NORTH, PROVIDER),
    v("plain", lambda b: b.loss("b1", 65, FROM_WEB), "b1 b2 b3 p1", SOUTH, PROVIDER),
    v("ping", lambda b: b.loss("p1", 35, "ip saddr 11.80.1.0/24"), "p1 p2", PROVIDER))  # fmt: skip
situation("latency drifts at a carrier", "transit",
    v("shop", lambda b: b.weather("b1-b2", 250), "b1 b2 b3", SOUTH),
    v("api", lambda b: b.weather("p1-p2", 200), "p1 p2", PROVIDER),
    v("plain", both(lambda b: b.weather("a1-a2", 250), lambda b: b.weather("a1-a3", 250)), "a1 a2 a3", NORTH))  # fmt: skip
situation("a carrier's line jitters", "transit",
    v("plain", lambda b: b.weather("p1-p2", 120, 400), "p1 p2", PROVIDER),
    v("shop", lambda b: b.weather("b1-b2", 120, 450), "b1 b2 b3", SOUTH),
    v("api", lambda b: b.weather("p1-p2", 60, 500), "p1 p2", PROVIDER))  # fmt: skip
situation("large packets vanish", "transit",
    v("shop", lambda b: b.narrow("a4-p1", 1300), "", NORTH, PROVIDER, layers="transit client_network"),
    v("api", lambda b: b.narrow("p1-p2", 1400), "", PROVIDER, layers="transit client_network"),
    v("plain", lambda b: b.narrow("b3-p1", 1200), "", SOUTH, PROVIDER, layers="transit client_network"))  # fmt: skip

# --- The client's premises --------------------------------------------------------------------------------------------
situation("the edge firewall is dead", "client_network",
    v("shop", lambda b: b.vanish("edge"), "edge p2", CLIENT, PROVIDER),
    v("db", lambda b: b.vanish("edge"), "edge p2", CLIENT, PROVIDER),
    v("second", lambda b: b.unplug_cable("p2-edge"), "edge p2", CLIENT, PROVIDER, layers="client_network transit"))  # fmt: skip
situation("the edge firewall hangs", "client_network",
    v("api", lambda b: b.swallow("edge"), "edge", CLIENT, PROVIDER),
    v("plain", lambda b: b.swallow("edge", "ip daddr 11.80.1.0/24"), "edge", CLIENT, PROVIDER),
    v("onprem", lambda b: b.loss("edge", 60), "edge p2", CLIENT, PROVIDER))  # fmt: skip
situation("the edge firewall lets nothing through and says nothing", "client_network",
    v("second", lambda b: b.rules("edge", "forward drop", "output icmp type time-exceeded drop"), "edge p2", CLIENT, PROVIDER),
    v("db", lambda b: b.rules("edge", "forward drop", "output drop"), "edge p2", CLIENT, PROVIDER),
    v("plain", lambda b: b.rules("edge", "forward drop", "output icmp type time-exceeded drop"), "edge p2", CLIENT, PROVIDER))  # fmt: skip
situation("the edge firewall forbids", "client_network",
    v("shop", lambda b: b.rules("edge", f"forward {TO_WEB} tcp dport 443 reject with icmp admin-prohibited"), "edge", CLIENT, PROVIDER),
    v("api", lambda b: b.rules("edge", f"forward {TO_WEB} reject with icmp admin-prohibited"), "edge", CLIENT, PROVIDER),
    v("db", lambda b: b.rules("edge", f"forward {TO_WEB} tcp dport 5432 reject with icmp host-prohibited"), "edge", CLIENT, PROVIDER))  # fmt: skip
situation("the edge firewall drops one port", "client_network",
    v("shop", lambda b: b.rules("edge", f"forward {TO_WEB} tcp dport 443 drop"), "edge", CLIENT, PROVIDER),
    v("db", lambda b: b.rules("edge", f"forward {TO_WEB} tcp dport 5432 drop"), "edge", CLIENT, PROVIDER),
    v("api", lambda b: b.rules("edge", f"forward {TO_WEB} tcp dport 8443 tcp flags syn drop"), "edge", CLIENT, PROVIDER))  # fmt: skip
situation("the edge's connection table is full", "client_network",
    v("plain", lambda b: b.rules("edge", "forward tcp flags & (syn|ack) == syn numgen random mod 100 < 85 drop"), "edge", CLIENT, PROVIDER),
    v("second", lambda b: b.rules("edge", "forward tcp flags & (syn|ack) == syn drop"), "edge", CLIENT, PROVIDER),
    v("shop", lambda b: b.rules("edge", "forward tcp flags & (syn|ack) == syn numgen random mod 100 < 85 drop"), "edge", CLIENT, PROVIDER))  # fmt: skip
situation("the client's switch is dead", "client_network",
    v("shop", lambda b: b.unplug("edge", "lan"), "edge", CLIENT, PROVIDER),
    v("second", ports("edge"), "edge", CLIENT, PROVIDER),
    v("plain", ports("web", "second", "ns", "inside"), "edge", CLIENT, PROVIDER))  # fmt: skip
situation("loss on the client's line", "client_network transit",
    v("shop", lambda b: b.rules("edge", "prerouting iifname != lan numgen random mod 100 < 60 drop"), "edge p2", CLIENT, PROVIDER),
    v("ping", lambda b: b.rules("edge", "prerouting iifname lan numgen random mod 100 < 30 drop"), "edge p2", CLIENT, PROVIDER),
    v("api", lambda b: b.rules("p2", "prerouting ip saddr 11.80.1.0/24 numgen random mod 100 < 60 drop"), "edge p2", CLIENT, PROVIDER))  # fmt: skip

# --- The server -------------------------------------------------------------------------------------------------------
situation("the server is dead", "server",
    v("shop", lambda b: b.unplug_port("lan", "web"), "", CLIENT),
    v("second", lambda b: b.unplug_port("lan", "second"), "", CLIENT),
    v("db", lambda b: b.unplug_port("lan", "web"), "", CLIENT))  # fmt: skip
situation("the server's own line loses", "server client_network",
    v("api", lambda b: b.rules("web", "prerouting numgen random mod 100 < 60 drop"), "", CLIENT),
    v("ping", lambda b: b.rules("web", "prerouting numgen random mod 100 < 35 drop"), "", CLIENT),
    v("second", lambda b: b.rules("second", "prerouting numgen random mod 100 < 70 drop"), "", CLIENT))  # fmt: skip
situation("nobody listens on the port", "service",
    v("api", lambda b: b.close("api")),
    v("db", lambda b: b.close("db")),
    v("second", lambda b: b.close("second")))  # fmt: skip
situation("the process hangs", "service application",
    v("shop", lambda b: b.site("shop", temper="hang")),
    v("plain", lambda b: b.site("plain", temper="hang")),
    v("db", lambda b: b.site("db", temper="hang")))  # fmt: skip
situation("the server's own rules drop the port", "service server",
    v("shop", lambda b: b.rules("web", "input tcp dport 443 drop"), layers="service server"),
    v("plain", lambda b: b.rules("web", "input tcp dport 80 drop"), layers="service server"),
    v("db", lambda b: b.rules("web", "input tcp dport 5432 drop"), layers="service server"))  # fmt: skip
situation("connections are reset", "service",
    v("plain", lambda b: b.site("plain", temper="reset")),
    v("api", lambda b: b.site("api", temper="reset"), layers="service tls"),
    v("second", lambda b: b.site("second", temper="reset")))  # fmt: skip
situation("half the workers are dead", "service application",
    v("shop", lambda b: b.site("shop", temper="half")),
    v("plain", lambda b: b.site("plain", temper="half")),
    v("api", lambda b: b.site("api", temper="half")))  # fmt: skip

# --- The application --------------------------------------------------------------------------------------------------
situation("the application answers 5xx", "application",
    v("shop", lambda b: b.site("shop", status=500)),
    v("plain", lambda b: b.site("plain", status=503)),
    v("second", lambda b: b.site("second", status=502)))  # fmt: skip
situation("the content is wrong", "application",
    v("plain", lambda b: b.site("plain", body="Database error, please come back later. " * 100)),
    v("api", lambda b: b.site("api", body='{"status": "degraded"}')),
    v("shop", lambda b: b.site("shop", body="")))  # fmt: skip
situation("the application is slow", "application",
    v("shop", lambda b: b.site("shop", wait_s=1.5)),
    v("api", lambda b: b.site("api", wait_s=9.0)),
    v("plain", lambda b: b.site("plain", wait_s=2.5)))  # fmt: skip
situation("the answer breaks off", "application service",
    v("shop", lambda b: b.site("shop", temper="cut")),
    v("plain", lambda b: b.site("plain", temper="cut")),
    v("second", lambda b: b.site("second", temper="cut")))  # fmt: skip

# --- TLS --------------------------------------------------------------------------------------------------------------
situation("the certificate has expired", "tls",
    v("shop", certificate("shop", days=-1)), v("api", certificate("api", days=-0.01)), v("shop", certificate("shop", days=-40)))  # fmt: skip
situation("the certificate is for another name", "tls",
    v("api", certificate("api", "www.acme.example")), v("shop", certificate("shop", "other.example")), v("api", certificate("api", "acme.example")))  # fmt: skip
situation("the certificate is nobody's we trust", "tls",
    v("shop", certificate("shop", foreign=True)), v("api", certificate("api", foreign=True)), v("shop", certificate("shop", foreign=True, chain=False)))  # fmt: skip
situation("the intermediate certificate is missing", "tls",
    v("api", certificate("api", chain=False)), v("shop", certificate("shop", chain=False)), v("api", certificate("api", chain=False)))  # fmt: skip
situation("the handshake is cut off", "tls service",
    v("shop", lambda b: b.site("shop", temper="tls_reset")),
    v("api", lambda b: b.site("api", temper="tls_stall")),
    v("onprem", lambda b: b.site("shop", temper="tls_reset")))  # fmt: skip

# --- Names ------------------------------------------------------------------------------------------------------------
situation("the name servers answer SERVFAIL", "dns",
    v("shop", moods("servfail")),
    v("onprem", lambda b: b.mood("ns", "servfail")),
    v("plain", moods("refused")))  # fmt: skip
situation("the name does not exist any more", "dns",
    v("api", lambda b: b.edit(AUTHORITIES, "acme.example.", f"api 5 A {internet.WEB}", "")),
    v("db", lambda b: b.edit(AUTHORITIES, "acme.example.", f"db 5 A {internet.WEB}", "")),
    v("onprem", lambda b: b.edit(["ns"], "onprem.example.", f"www 5 A {internet.WEB}", "")))  # fmt: skip
situation("the name leads elsewhere", "dns",
    v("shop", lambda b: b.edit(AUTHORITIES, "acme.example.", f"www 5 A {internet.WEB}", "www 5 A 11.70.1.2")),
    v("plain", lambda b: b.edit(AUTHORITIES, "acme.example.", f"plain 5 A {internet.WEB}", "plain 5 A 11.66.0.1")),
    v("names", lambda b: b.edit(AUTHORITIES, "acme.example.", f"www 5 A {internet.WEB}", "www 5 A 11.70.1.2")))  # fmt: skip
situation("one resolver is sick", "dns probe",  # sick for every name, it is the observers' trouble as much as a resolver's
    v("shop", lambda b: b.mood("one", "servfail")),
    v("second", lambda b: b.mood("two", "silent")),
    v("api", lambda b: b.mood("one", "lie"), layers="dns"))  # fmt: skip
situation("the delegation has expired", "dns",
    v("shop", lambda b: b.edit(["tld"], "example.", "acme.example. 5 NS ns1.acme.example.\nacme.example. 5 NS ns2.hosted.example.\n", "")),
    v("onprem", lambda b: b.edit(["tld"], "example.", "onprem.example. 5 NS ns.onprem.example.\n", "")),
    v("plain", lambda b: b.edit(["tld"], "example.", "acme.example. 5 NS ns1.acme.example.\nacme.example. 5 NS ns2.hosted.example.\n", "acme.example. 5 NS a.root.example.\n")))  # fmt: skip
situation("the name servers do not answer", "dns",
    v("onprem", lambda b: b.mood("ns", "silent")),
    v("shop", moods("silent")),
    v("onprem", lambda b: b.rules("ns", "input udp dport 53 drop", "input tcp dport 53 drop"), layers="dns"))  # fmt: skip

# --- The observers ----------------------------------------------------------------------------------------------------
ALL_BUT_PORTAL = "ip daddr != 11.90.0.0/16 ip daddr != 11.52.0.0/15"
situation("one region's own line is sick", "probe",
    v("shop", lambda b: b.rules("x1", f"forward {ALL_BUT_PORTAL} ip saddr 11.1.0.0/16 numgen random mod 100 < 80 drop"), silent=True),
    v("plain", lambda b: b.rules("h3", f"output {ALL_BUT_PORTAL} ip daddr != 127.0.0.0/8 drop"), silent=True),
    v("api", lambda b: b.loss("x4", 60, "ip daddr != 11.90.0.0/16 ip saddr != 11.90.0.0/16"), silent=True))  # fmt: skip
situation("the portal's own names fail", "probe dns",
    v("plain", lambda b: b.rules("portal", "output udp dport 53 drop", "output tcp dport 53 drop"), silent=True),
    v("plain", lambda b: b.rules("portal", f"output ip daddr {internet.RESOLVER_ONE} drop"), silent=True),
    v("plain", lambda b: b.rules("m", f"forward ip saddr {internet.RESOLVER_ONE} drop"), silent=True))  # fmt: skip

# --- Traps: what looks like trouble and is not, with the trouble behind it ---------------------------------------------
NO_PINGS = "forward icmp type { echo-request, echo-reply } drop"
situation("pings are filtered and a fault stands behind", "service application server",
    v("api", both(lambda b: b.rules("edge", NO_PINGS), lambda b: b.close("api")), layers="service"),
    v("shop", both(lambda b: b.rules("edge", NO_PINGS), lambda b: b.site("shop", status=500)), layers="application"),
    v("plain", both(lambda b: b.rules("edge", NO_PINGS), lambda b: b.site("plain", temper="hang")), layers="service application"))  # fmt: skip
situation("routers are sparing with ICMP and a fault stands behind", "application service server",
    v("plain", both(sparing(ONE_A_SECOND, "a1", "p1", "p2", "b1"), lambda b: b.site("plain", status=500)), layers="application"),
    v("db", both(sparing(ONE_A_SECOND, "a1", "p1", "p2", "b1"), lambda b: b.close("db")), layers="service"),
    v("shop", both(sparing("", "a1", "a2", "a3", "p1", "b3"), certificate("shop", days=-2)), layers="tls"))  # fmt: skip
situation("two faults at once", "dns service transit application tls",
    v("api", both(certificate("api", days=-3), lambda b: b.loss("a4", 15)), layers="tls"),
    v("shop", both(lambda b: b.site("shop", status=500), lambda b: b.swallow("a4")), "a4 p1", NORTH, PROVIDER, layers="transit application"),
    v("plain", both(lambda b: b.mood("one", "servfail"), lambda b: b.close("plain")), layers="dns service"))  # fmt: skip
situation("the neighbours are down with it", "server client_network",
    v("second", ports("web", "second"), "edge", CLIENT, PROVIDER, layers="client_network server"),
    v("shop", lambda b: b.unplug_port("lan", "web"), "", CLIENT, layers="server"),
    v("colo", lambda b: b.vanish("colo"), "", PROVIDER, layers="server"))  # fmt: skip

# --- Nobody could tell ------------------------------------------------------------------------------------------------
# One machine dark, its neighbours well, the edge says nothing about it and nobody inside can be asked: is it the machine,
# or a rule of the edge? The first two are the rule, the third is the machine.
NOBODY_INSIDE = f"forward ip saddr {internet.INSIDE} drop"
SAYS_NOTHING = "output icmp type { time-exceeded, destination-unreachable } drop"
situation("one machine dark behind an edge that says nothing", "unknown",
    v("api", lambda b: b.rules("edge", f"forward {TO_WEB} drop", NOBODY_INSIDE, SAYS_NOTHING)),
    v("second", lambda b: b.rules("edge", f"forward ip daddr {internet.SECOND} drop", NOBODY_INSIDE, SAYS_NOTHING)),
    v("db", both(lambda b: b.unplug_port("lan", "web"), lambda b: b.rules("edge", NOBODY_INSIDE, SAYS_NOTHING))),
    ambiguous=True)  # fmt: skip
situation("it was over before anybody looked", "unknown",
    v("shop", lambda b: blip(b, "shop"), silent=True),
    v("api", lambda b: blip(b, "api"), silent=True),
    v("db", lambda b: blip(b, "db"), silent=True),
    ambiguous=True)  # fmt: skip


# One of each layer in little time: what shares a line breaks at the same moment, at targets of its own. The first line
# needs no knowledge of better days, and passes the time in which that is gathered.
QUICK = (
    (("the certificate has expired", 1), ("the name servers answer SERVFAIL", 1)),
    (("the application answers 5xx", 1), ("nobody listens on the port", 1), ("the server is dead", 1)),
    (("a carrier's router is dead", 0),),
    (("the edge firewall is dead", 0),),
)


def chosen(only: str = "", variants: int = 3) -> Iterator[tuple[Situation, int]]:
    """(situation, number of its variant), whose name or layers hold the text."""
    for number in range(variants):  # a run that is ended early has seen something of everything
        for each in SITUATIONS:
            if number < len(each.variants) and (not only or any(only in word for word in (each.name, *each.layers))):
                yield each, number


def quick() -> list[list[tuple[Situation, int]]]:
    """The cases of QUICK."""
    named = {each.name: each for each in SITUATIONS}
    return [[(named[name], number) for name, number in group] for group in QUICK]
