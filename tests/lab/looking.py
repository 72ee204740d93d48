"""What do plain tools see of a fault? For those who add one: from each place, does the target answer, and where do packets die?"""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.lab.internet import Internet
from tests.lab.product import MONITORS, RESOLVER_OF


def look(net: Internet, monitor: str, trust: str) -> dict[str, str]:
    """{machine: what curl, ping or a name server said} for a monitor's target, from everywhere at once."""

    def from_one(node: str) -> str:
        done = subprocess.run(["ip", "netns", "exec", net[node].name, *words(MONITORS[monitor], trust)], capture_output=True, text=True)  # fmt: skip
        said = (done.stdout.strip() or done.stderr.strip()).splitlines()
        return f"{done.returncode} {said[-1] if said else ''}"

    nodes = [n for n in RESOLVER_OF if n != "portal"]
    with ThreadPoolExecutor(len(nodes)) as pool:
        return dict(zip(nodes, pool.map(from_one, nodes), strict=True))


def words(monitor: dict[str, Any], trust: str) -> list[str]:
    """The command that does what the monitor does."""
    config = monitor["config"]
    match monitor["kind"]:
        case "http":
            return ["curl", "-sS", "-m", "4", "--cacert", trust, "-o", "/dev/null", "-w", "%{http_code} %{size_download} B %{time_total} s", config["url"]]  # fmt: skip
        case "tcp":
            return [
                "timeout",
                "4",
                "bash",
                "-c",
                f"exec 3<>/dev/tcp/{config['host']}/{config['port']} && head -c 5 <&3",
            ]
        case "icmp":
            return ["ping", "-c", "20", "-i", "0.05", "-W", "1", "-q", config["host"]]
        case _:
            return ["getent", "ahostsv4", config["name"]]


def way(net: Internet, node: str, address: str, port: int = 0) -> list[str]:
    """mtr's hops from a machine: "address loss%"."""
    extra = ["-T", "-P", str(port)] if port else []
    text = net[node].run("mtr", "-n", "-c", "3", "-i", "0.2", "-G", "1", "-m", "10", "-j", *extra, address, check=False)
    return [f"{h['host']} {h['Loss%']:.0f}%" for h in json.loads(text)["report"]["hubs"]]
