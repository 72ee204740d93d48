"""Where can a battery be sent to measure? A probe, four routers in a row and a target, all in namespaces.

    probe 10.0.1.1 ─ r1 ─ r2 ─┬ r3 ─┬ r4 ─ target 10.0.5.2 and 10.9.0.1 … 10.9.0.20
                              └ r3b ┘      names 10.0.8.2 … hangs at r1

One address of the target for each fault, so that a single run sees them all at the same time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.diagnosis import nameservers
from tests.rig.netns import Net, Space

ROOT = Path(__file__).parents[2]
ROW = ("probe", "r1", "r2", "r3", "r4", "target")


class Field:
    """The network, and the program that measures in it."""

    def __init__(self) -> None:
        self.net = Net().__enter__()
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        net = self.net
        spaces = {name: net.space(name) for name in (*ROW, "r3b", "names")}
        self.spaces = spaces
        for n, (near, far) in enumerate(zip(ROW, ROW[1:], strict=False), 1):
            net.wire(spaces[near], f"10.0.{n}.1/24", spaces[far], f"10.0.{n}.2/24")
        net.wire(spaces["r2"], "10.0.6.1/24", spaces["r3b"], "10.0.6.2/24")
        net.wire(spaces["r3b"], "10.0.7.1/24", spaces["r4"], "10.0.7.2/24")
        net.wire(spaces["r1"], "10.0.8.1/24", spaces["names"], "10.0.8.2/24")
        for name in ("r1", "r2", "r3", "r3b", "r4"):
            spaces[name].router()
        net.route(spaces["probe"], "default", "10.0.1.2")
        net.route(spaces["names"], "default", "10.0.8.1")
        net.route(spaces["target"], "default", "10.0.5.1")
        for name, forth, back in (("r1", "10.0.2.2", ""), ("r2", "10.0.3.2", "10.0.2.1"), ("r3", "10.0.4.2", "10.0.3.1"), ("r3b", "10.0.7.2", "10.0.6.1"), ("r4", "10.0.5.2", "10.0.4.1")):  # fmt: skip
            net.route(spaces[name], "10.9.0.0/16", forth)
            for network in ("10.0.1.0/24", "10.0.8.0/24") if back else ():
                if (name, network) != ("r1", "10.0.8.0/24"):
                    net.route(spaces[name], network, back)
        for last in range(1, 21):
            spaces["target"].run("ip", "addr", "add", f"10.9.0.{last}/32", "dev", "lo")
        for address in nameservers.ADDRESSES[1:]:
            spaces["names"].run("ip", "addr", "add", f"{address}/32", "dev", "lo")
        (spaces["probe"].etc / "resolv.conf").write_text(f"nameserver {nameservers.RESOLVER}\n")
        (spaces["probe"].etc / "hosts").write_text("10.9.0.1 written-down.example\n")
        self.serve("names", "tests.diagnosis.nameservers")
        self.serve("target", "tests.diagnosis.services")
        self._build_v6()
        self._neighbour("10.0.1.3")
        self.measuring: subprocess.Popen[str] | None = None

    def _build_v6(self) -> None:
        """The same row once more: fd00:1::1 ─ … ─ fd00:5::2, which is the target."""
        for space in self.spaces.values():
            space.sysctl(net__ipv6__conf__all__forwarding=1, net__ipv6__icmp__ratelimit=0)
        for n, (near, far) in enumerate(zip(ROW, ROW[1:], strict=False), 1):
            for name, last in ((near, 1), (far, 2)):
                device = self._device(name, f"10.0.{n}.{last}")
                self.spaces[name].run("ip", "addr", "add", f"fd00:{n}::{last}/64", "dev", device, "nodad")
            self.spaces[near].run("ip", "route", "add", "fd00:5::2/128", "via", f"fd00:{n}::2")
            self.spaces[far].run("ip", "route", "replace", "fd00:1::1/128", "via", f"fd00:{n}::1")

    def _neighbour(self, address: str) -> None:
        """A second machine on the probe's own network (it is r1 under another name), known to the probe's kernel."""
        device = self._device("r1", "10.0.1.2")
        (link,) = json.loads(self.spaces["r1"].run("ip", "-j", "link", "show", device))
        self.spaces["r1"].run("ip", "addr", "add", f"{address}/24", "dev", device)
        ours = self._device("probe", "10.0.1.1")
        self.spaces["probe"].run("ip", "neigh", "add", address, "lladdr", link["address"], "dev", ours)

    def _device(self, name: str, address: str) -> str:
        rows = json.loads(self.spaces[name].run("ip", "-j", "addr"))
        return next(str(row["ifname"]) for row in rows if address in [known["local"] for known in row["addr_info"]])

    def space(self, name: str) -> Space:
        """One machine."""
        return self.spaces[name]

    def measure(self, asked: list[dict[str, Any]]) -> dict[str, Any]:
        """{"evidence": one for each that is asked (see `measuring`), "cpu_ms"}, all measured at once."""
        if self.measuring is None:
            self.measuring = subprocess.Popen(
                ["ip", "netns", "exec", self.spaces["probe"].name, sys.executable, "-m", "tests.diagnosis.measuring"],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert self.measuring.stdin and self.measuring.stdout
        self.measuring.stdin.write(json.dumps(asked) + "\n")
        self.measuring.stdin.flush()
        line = self.measuring.stdout.readline()
        assert line, "the measuring program ended"
        found: dict[str, Any] = json.loads(line)
        return found

    def serve(self, name: str, module: str, *argv: str) -> None:
        """Start a server in a space and wait until it says that it listens."""
        child = subprocess.Popen(
            ["ip", "netns", "exec", self.spaces[name].name, sys.executable, "-m", module, *argv],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.spaces[name].children.append(child)  # type: ignore[arg-type]
        assert child.stdout and child.stdout.readline().strip() == "ready"

    def close(self) -> None:
        """End the program and remove the network."""
        child = getattr(self, "measuring", None)
        if child is not None:
            child.stdin.close()
            child.wait(60)
            child.stdout.close()
        servers = [server for space in getattr(self, "spaces", {}).values() for server in space.children]
        self.net.__exit__()
        for server in servers:
            if server.stdout is not None:
                server.stdout.close()

    def fault(self, name: str, chain: str, *rules: str) -> None:
        """Rules in a hook of one machine, all at once (a second call adds to them)."""
        lines = "\n".join(f"  {rule};" for rule in rules)
        self.spaces[name].nft(
            f"table inet wk {{\n chain {chain} {{\n  type filter hook {chain} priority 0;\n{lines}\n }}\n}}\n"
        )


def order(host: str, port: int = 8080, **more: Any) -> dict[str, Any]:
    """What the portal asks for: one target of kind tcp (icmp without a port)."""
    target = {"host": host, "port": port, "tls": False, "kind": "tcp" if port else "icmp", **more.pop("target", {})}
    asked = {"v": 1, "diagnosis": 1, "probe": 7, "slug": "berlin", "private": False, "network": "", "target": target, "check": None, "resolvers": [], "anchors": [], "deadline_s": 6.0}  # fmt: skip
    return asked | more
