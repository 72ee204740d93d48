"""Where can packets be lost on purpose? Networks of namespaces on this machine: spaces, wires between them, rules in them.

    with Net() as net:
        portal, berlin = net.space("portal"), net.space("berlin")
        wire = net.wire(portal, "10.1.0.1/24", berlin, "10.1.0.2/24")
        berlin.run("ping", "-c1", "10.1.0.1")
        wire.cut(); wire.mend()

Nothing here touches the machine's own network: each space is new, has only its own wires, and goes with the Net.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.rig.process import PR_SET_PDEATHSIG, NotAvailable

CLONE_NEWNET = 0x40000000
_numbers = itertools.count(1)


def needed() -> None:
    """NotAvailable unless we may make networks here: root on Linux, with ip and nft."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NotAvailable("network namespaces need root on Linux")
    for tool, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(tool) is None:
            raise NotAvailable(f"{tool} is not installed (apt-get install {package})")
    name = f"wk{os.getpid()}t"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        raise NotAvailable("network namespaces cannot be made here")
    subprocess.run(["ip", "netns", "delete", name], capture_output=True)


class Space:
    """One namespace: a machine with a network of its own."""

    def __init__(self, name: str, label: str) -> None:
        self.name, self.label = name, label
        self.children: list[subprocess.Popen[bytes]] = []
        _ip("netns", "add", name)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def etc(self) -> Path:
        """Files here stand in for those of /etc in this space (resolv.conf, hosts)."""
        path = Path("/etc/netns") / self.name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def run(self, *argv: str, check: bool = True, text: str | None = None) -> str:
        """Run a program to its end; its standard output. CalledProcessError when it fails (unless check=False)."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *argv], input=text, capture_output=True, text=True, timeout=180
        )
        if check and done.returncode:
            raise RuntimeError(f"{self.label}: {' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None, **more: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program that lives on; it ends with the Net (or by its own pid)."""
        out = log.open("ab") if log else subprocess.DEVNULL
        child = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *argv], env=dict(env) if env is not None else None, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, preexec_fn=_die_with_us, **more,
        )  # fmt: skip
        if log:
            out.close()  # the child has its own
        self.children.append(child)
        return child

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile belong to this space; those made before keep theirs."""
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self.name}") as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def nft(self, text: str) -> None:
        """Load rules, in nft's own language."""
        self.run("nft", "-f", "-", text=text)

    def rule(self, chain: str, rule: str) -> None:
        """One rule in a hook of this space: `input`, `output` or `forward`; as "ip daddr 10.2.0.9 drop"."""
        self.nft(f"table inet wk {{\n chain {chain} {{\n type filter hook {chain} priority 0;\n {rule};\n }}\n}}\n")

    def no_rules(self) -> None:
        """Forget every rule."""
        self.run("nft", "flush", "ruleset")

    def sysctl(self, **values: int | str) -> None:
        """Kernel settings of this space; double underscores stand for dots: net__ipv4__ip_forward=1."""
        for name, value in values.items():
            self.run("sysctl", "-qw", f"{name.replace('__', '.')}={value}")

    def router(self) -> None:
        """Forward packets, and answer each dying one (Linux limits such answers to one a second by itself)."""
        self.sysctl(net__ipv4__ip_forward=1, net__ipv4__icmp_ratelimit=0, net__ipv4__conf__all__rp_filter=0)

    def close(self) -> None:
        """End what was started here and remove the space."""
        for child in self.children:
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(30)
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True)
        shutil.rmtree(Path("/etc/netns") / self.name, ignore_errors=True)


class Wire:
    """A cable between two spaces."""

    def __init__(self, a: Space, a_address: str, b: Space, b_address: str) -> None:
        self.a, self.b = a, b
        number = next(_numbers)
        self.a_name, self.b_name = f"wka{os.getpid() % 10000}x{number}", f"wkb{os.getpid() % 10000}x{number}"
        _ip("link", "add", "name", self.a_name, "netns", a.name, "type", "veth", "peer", "name", self.b_name, "netns", b.name)  # fmt: skip
        for space, name, address in ((a, self.a_name, a_address), (b, self.b_name, b_address)):
            _ip("-n", space.name, "addr", "add", address, "dev", name)
            _ip("-n", space.name, "link", "set", name, "up")

    def cut(self) -> None:
        """Pull it: both ends lose their carrier, and routes through it with them, as when a line dies."""
        _ip("-n", self.a.name, "link", "set", self.a_name, "down")

    def mend(self) -> None:
        """Plug it in again. Routes through `a`'s end went with it: the caller sets them anew."""
        _ip("-n", self.a.name, "link", "set", self.a_name, "up")


class Net:
    """Spaces and wires that go together."""

    def __init__(self) -> None:
        needed()
        self.spaces: dict[str, Space] = {}

    def space(self, label: str) -> Space:
        """A new machine."""
        self.spaces[label] = Space(f"wk{os.getpid()}n{next(_numbers)}", label)
        return self.spaces[label]

    def wire(self, a: Space, a_address: str, b: Space, b_address: str) -> Wire:
        """A cable with an address (as 10.1.0.1/24) at each end."""
        return Wire(a, a_address, b, b_address)

    def route(self, space: Space, to: str, via: str) -> None:
        """Packets for `to` (a network, or "default") go to the neighbour `via`."""
        _ip("-n", space.name, "route", "replace", to, "via", via)

    def __enter__(self) -> Net:
        return self

    def __exit__(self, *_: object) -> None:
        for space in reversed(self.spaces.values()):
            space.close()


def _ip(*argv: str) -> None:
    done = subprocess.run(["ip", *argv], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(argv)}: {done.stderr.strip()}")


def _setns(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _die_with_us() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 15)
