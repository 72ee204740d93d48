"""Which networks are there, and by which ways do packets go? Four regions, two carriers, an exchange, a client's premises.

    h1-x1 ─┐                                                     ┌ colo (hosted elsewhere at the provider)
    h2-x2 ─┴ a1 ═ a2/a3 ═ a4 ─┐                                  │         ┌ web, second, ns, inside
             │ (exchange: names, anchors, portal)   p1 ── p2 ────┴─ edge ──┤
    h3-x3 ─┬ b1 ── b2 ── b3 ──┘                                            └ (the client's LAN)
    h4-x4 ─┘

Routes are computed from costs (shortest ways, equal ones share), so a route is moved as a carrier would: by a cost.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.rig.netns import Net, Space

# AS number -> (second octet of its 11.x/16, name). The spaces have no way out, so the addresses may look public.
NETWORKS: dict[int, tuple[int, str]] = {
    64501: (1, "Region One Access"), 64502: (2, "Region Two Access"), 64503: (3, "Region Three Access"), 64504: (4, "Region Four Access"),
    64601: (61, "North Transit"), 64602: (62, "South Transit"), 64699: (99, "Lab Exchange"), 64610: (70, "Client Access Provider"),
    64620: (80, "Acme Premises"), 64651: (51, "Root and TLD"), 64652: (52, "Public Resolver One"), 64653: (53, "Public Resolver Two"),
    64654: (54, "Hosted DNS"), 64661: (66, "Anchor One"), 64662: (67, "Anchor Two"), 64690: (90, "Portal Hosting"),
}  # fmt: skip
AS_OF_NODE = {
    "h1": 64501, "x1": 64501, "h2": 64502, "x2": 64502, "h3": 64503, "x3": 64503, "h4": 64504, "x4": 64504,
    "a1": 64601, "a2": 64601, "a3": 64601, "a4": 64601, "b1": 64602, "b2": 64602, "b3": 64602,
    "p1": 64610, "p2": 64610, "colo": 64610, "edge": 64620, "web": 64620, "second": 64620, "ns": 64620, "inside": 64620,
    "names": 64699, "anchors": 64699, "m": 64690, "portal": 64690,
}  # fmt: skip
ROUTERS = ("x1", "x2", "x3", "x4", "a1", "a2", "a3", "a4", "b1", "b2", "b3", "p1", "p2", "edge", "m")

# (left, right, cost, one-way delay in ms or None for a plain cable). The left end's network gives the addresses.
LINKS: list[tuple[str, str, int, float | None]] = [
    ("x1", "h1", 1, None), ("x2", "h2", 1, None), ("x3", "h3", 1, None), ("x4", "h4", 1, None),
    ("a1", "x1", 10, 4), ("a1", "x2", 10, 9), ("b1", "x3", 10, 6), ("b1", "x4", 10, 14), ("b1", "x2", 60, None), ("a1", "x3", 60, None),
    ("a1", "a2", 10, 3), ("a1", "a3", 10, 3), ("a2", "a4", 10, None), ("a3", "a4", 10, None), ("a4", "p1", 10, None),
    ("b1", "b2", 10, 4), ("b2", "b3", 10, None), ("b3", "p1", 11, None),
    ("p1", "p2", 10, 1), ("p2", "colo", 1, None), ("p2", "edge", 1, None), ("m", "portal", 1, None),
]  # fmt: skip
# Switches: name -> (network, {member: last octet}).
SEGMENTS: dict[str, tuple[str, dict[str, int]]] = {
    "exchange": ("11.99.0.0/24", {"a1": 1, "b1": 2, "names": 53, "anchors": 60, "m": 90}),
    "lan": ("11.80.1.0/24", {"edge": 1, "web": 10, "second": 11, "ns": 53, "inside": 20}),
}
SEGMENT_COST = {"exchange": 20, "lan": 1}
# Addresses that nodes hold besides those of their cables.
OWN = {
    "names": ["11.51.0.1", "11.51.0.2", "11.52.0.53", "11.53.0.53", "11.54.0.53"],
    "anchors": ["11.66.0.1", "11.67.0.1"],
}
ROOT, TLD, RESOLVER_ONE, RESOLVER_TWO, SECONDARY = OWN["names"]
ANCHORS = [f"{address}:443" for address in OWN["anchors"]]
WEB, SECOND, NS, INSIDE = "11.80.1.10", "11.80.1.11", "11.80.1.53", "11.80.1.20"
# Always so, in good times too: b2 never says where packets died, a4 says so a few times a second only.
SILENT, SPARING = "b2", "a4"


@dataclass
class Cable:
    """A link as it was laid."""

    left: str
    right: str
    left_address: str
    right_address: str
    left_interface: str
    right_interface: str
    delay_ms: float | None


@dataclass
class Internet:
    """The whole of it; it goes when the `Net` goes."""

    net: Net
    cables: dict[str, Cable] = field(default_factory=dict)
    # (from, to) -> (cost, the neighbour's address): changed by faults, then `reroute()`.
    costs: dict[tuple[str, str], int] = field(default_factory=dict)
    next_address: dict[tuple[str, str], str] = field(default_factory=dict)
    laid: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    prefixes: dict[str, str] = field(default_factory=dict)  # prefix -> the node that owns it
    addresses: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    weather: subprocess.Popen[str] | None = None

    def __getitem__(self, node: str) -> Space:
        return self.net.spaces[node]

    @classmethod
    def build(cls, net: Net) -> Internet:
        """Lay everything; a few seconds."""
        it = cls(net)
        for node in AS_OF_NODE:
            space = net.space(node)
            settings = ["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv4.tcp_syn_retries=3"]  # fmt: skip
            if node in ROUTERS:
                settings += ["net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0", "net.ipv4.icmp_msgs_per_sec=20000", "net.ipv4.icmp_msgs_burst=5000"]  # fmt: skip
                settings += ["net.ipv4.fib_multipath_hash_policy=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0"]  # fmt: skip
            space.run("sysctl", "-qw", *settings)
        sky = net.space("sky")
        sky.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        slow: list[str] = []
        used: dict[int, int] = defaultdict(int)
        for left, right, cost, delay in LINKS:
            slow += it._lay(left, right, cost, delay, used)
        for segment, (network, members) in SEGMENTS.items():
            it._switch(segment, network, members)
        for node, owned in OWN.items():
            for address in owned:
                it[node].run("ip", "addr", "add", f"{address}/32", "dev", "lo")
                it.prefixes[f"{address}/32"] = node
                it.addresses[node].append(address)
        it.reroute()
        it._manners()
        it.weather = subprocess.Popen(
            ["ip", "netns", "exec", sky.name, sys.executable, "-m", "tests.lab.weather", *slow], cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        sky.children.append(it.weather)  # type: ignore[arg-type]
        assert it.weather.stdout is not None and it.weather.stdout.readline() == "ready\n"
        it.fair()
        return it

    def _lay(self, left: str, right: str, cost: int, delay: float | None, used: dict[int, int]) -> list[str]:
        asn = AS_OF_NODE[left]
        octet, number = NETWORKS[asn][0], used[asn]
        used[asn] += 1
        base = f"11.{octet}.{number}"
        a, b, name = f"{base}.1", f"{base}.2", f"{left}-{right}"
        slow = []
        if delay is None:
            wire = self.net.wire(self[left], f"{a}/30", self[right], f"{b}/30")
            ends = wire.a_name, wire.b_name
        else:
            ends = f"{right}~", f"{left}~"
            for node, end, address in ((left, ends[0], a), (right, ends[1], b)):
                middle = f"{node}{end}"
                _ip("link", "add", "name", end, "netns", self[node].name, "type", "veth", "peer", "name", middle, "netns", self["sky"].name)  # fmt: skip
                _ip("-n", self[node].name, "addr", "add", f"{address}/30", "dev", end)
                for space, interface in ((self[node], end), (self["sky"], middle)):
                    _ip("-n", space.name, "link", "set", interface, "up")
            slow.append(f"{name}:{left}{ends[0]}:{right}{ends[1]}")
        self.cables[name] = Cable(left, right, a, b, *ends, delay)
        self.costs[left, right] = self.costs[right, left] = cost
        self.next_address[left, right], self.next_address[right, left] = b, a
        self.prefixes[f"{base}.0/30"] = left if left in ROUTERS else right
        self.addresses[left].append(a)
        self.addresses[right].append(b)
        return slow

    def _switch(self, segment: str, network: str, members: dict[str, int]) -> None:
        switch = self.net.space(segment)
        switch.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        switch.run("ip", "link", "add", "switch", "type", "bridge")
        switch.run("ip", "link", "set", "switch", "up")
        head = network.rpartition(".")[0]
        for node, octet in members.items():
            _ip("link", "add", "name", segment, "netns", self[node].name, "type", "veth", "peer", "name", f"to-{node}", "netns", switch.name)  # fmt: skip
            _ip("-n", self[node].name, "addr", "add", f"{head}.{octet}/24", "dev", segment)
            _ip("-n", self[node].name, "link", "set", segment, "up")
            _ip("-n", switch.name, "link", "set", f"to-{node}", "master", "switch", "up")
            self.addresses[node].append(f"{head}.{octet}")
            for other, its in members.items():
                if other != node:
                    self.costs[node, other] = SEGMENT_COST[segment]
                    self.next_address[node, other] = f"{head}.{its}"
        self.prefixes[network] = next(iter(members))
        for node in list(members)[1:]:  # every member is on it, so it has the network by itself
            self.laid[node][network] = "direct"

    # --- Ways ------------------------------------------------------------------------------------------------------
    def reroute(self) -> None:
        """Give every node the shortest ways by the present costs; only what differs is written."""
        wanted: dict[str, dict[str, str]] = defaultdict(dict)
        on_segment = {network: set(members) for network, members in SEGMENTS.values()}
        for prefix, owner in self.prefixes.items():
            far = self._distances(owner)
            linked = {n for c in self.cables.values() if prefix == f"{c.left_address.rpartition('.')[0]}.0/30" for n in (c.left, c.right)}  # fmt: skip
            for node in AS_OF_NODE:
                if node == owner or node in linked or node in on_segment.get(prefix, ()) or node not in far:
                    continue
                hops = [self.next_address[node, to] for (at, to), cost in self.costs.items() if at == node and far.get(to, 1 << 30) + cost == far[node]]  # fmt: skip
                wanted[node][prefix] = "via " + hops[0] if len(hops) == 1 else "".join(f" nexthop via {hop} weight 1" for hop in hops)  # fmt: skip
        for node in AS_OF_NODE:
            lines = [f"route replace {p} {way}" for p, way in wanted[node].items() if self.laid[node].get(p) != way]
            lines += [
                f"route del {p}" for p, way in self.laid[node].items() if way != "direct" and p not in wanted[node]
            ]
            if lines:
                subprocess.run(["ip", "-n", self[node].name, "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True, capture_output=True)  # fmt: skip
            direct = {p: way for p, way in self.laid[node].items() if way == "direct"}
            self.laid[node] = direct | wanted[node]

    def _distances(self, owner: str) -> dict[str, int]:
        """From each node *to* the owner."""
        far, open_ones = {owner: 0}, {owner}
        while open_ones:
            here = min(open_ones, key=lambda n: far[n])
            open_ones.discard(here)
            if here != owner and here not in ROUTERS:
                continue  # hosts carry nothing for others
            for (at, to), cost in self.costs.items():
                if to == here and far[here] + cost < far.get(at, 1 << 30):
                    far[at] = far[here] + cost
                    open_ones.add(at)
        return far

    # --- Weather and manners -----------------------------------------------------------------------------------------
    def delay(self, cable: str, *, right: dict[str, float] | None = None, left: dict[str, float] | None = None) -> None:
        """Change a slow cable: {"delay_ms", "jitter_ms", "loss"} towards its right and its left end."""
        assert self.weather is not None and self.weather.stdin is not None and self.weather.stdout is not None
        order = {"cable": cable, "to_right": right or {}, "to_left": left or {}}
        self.weather.stdin.write(json.dumps(order) + "\n")
        self.weather.stdin.flush()
        self.weather.stdout.readline()

    def fair(self) -> None:
        """The usual weather."""
        for name, cable in self.cables.items():
            if cable.delay_ms is not None:
                usual = {"delay_ms": cable.delay_ms, "jitter_ms": cable.delay_ms / 10, "loss": 0.0}
                self.delay(name, right=usual, left=usual)

    def _manners(self) -> None:
        """Rules that always hold (a table of their own, so that healing a fault leaves them)."""
        self[SILENT].nft("table ip manners {\n chain out {\n type filter hook output priority 0;\n icmp type time-exceeded drop\n }\n}\n")  # fmt: skip
        self[SPARING].nft("table ip manners {\n chain out {\n type filter hook output priority 0;\n icmp type time-exceeded limit rate over 20/second burst 10 packets drop\n }\n}\n")  # fmt: skip

    def rules(self, node: str, *lines: str) -> None:
        """Fault rules of one node: each line is "HOOK RULE" with HOOK prerouting, input, output or forward."""
        chains: dict[str, list[str]] = defaultdict(list)
        for line in lines:
            hook, _, rule = line.partition(" ")
            chains[hook].append(rule)
        priority = {"prerouting": -300, "input": 0, "output": 0, "forward": 0}
        body = "".join(f" chain {hook} {{\n type filter hook {hook} priority {priority[hook]};\n " + "\n ".join(rules) + "\n }\n" for hook, rules in chains.items())  # fmt: skip
        self[node].nft(f"table ip fault {{\n{body}}}\n")

    def no_rules(self, node: str) -> None:
        """End the fault rules of one node."""
        self[node].run("nft", "delete", "table", "ip", "fault", check=False)

    # --- Facts ---------------------------------------------------------------------------------------------------------
    def as_table(self, path: Path) -> Path:
        """The address plan as ip2asn writes one: first, last, AS, country, name, between tabs."""
        rows = [f"11.{octet}.0.0\t11.{octet}.255.255\t{asn}\tZZ\t{name}" for asn, (octet, name) in NETWORKS.items()]
        path.write_text("\n".join(sorted(rows, key=lambda row: int(row.split(".")[1]))) + "\n")
        return path


def _ip(*argv: str) -> None:
    subprocess.run(["ip", *argv], check=True, capture_output=True, timeout=30)
