"""How is the machine that the probe runs on? Its figures, its updates, and the services and certificates it should have.

The probe reads, the portal judges: figures travel in `facts["host"]`, thresholds are applied where the record is kept
(monitors/hosts/thresholds.py). Only a listed service or process that does not run makes the monitor itself fail.
"""

import asyncio
import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from monitors.hosts import aside, listed, machine, updates

from .base import CannotTell, Check, CheckConfig, CheckFailed, Context, Outcome, Status

SERVICE = re.compile(r"[A-Za-z0-9@_.][A-Za-z0-9@:_.\\-]{0,99}")
MOST_NAMED = 32


def _service(name: str) -> str:
    name = name.strip()
    if not SERVICE.fullmatch(name):
        raise ValueError("A service is named as systemd does, such as nginx or postgresql@16-main.service")
    return name


def _process(name: str) -> str:
    name = name.strip()
    if not name or "/" in name or not name.isprintable():
        raise ValueError("A process is named by its program, such as nginx, without a path")
    return name


def _path(path: str) -> str:
    path = path.strip()
    if not path.startswith("/") or not path.isprintable():
        raise ValueError("Write the whole path on that machine, such as /etc/ssl/certs/shop.pem")
    return path


Percent = Annotated[float | None, Field(ge=0, le=100)]
Minutes = Annotated[float, Field(ge=0, le=1440)]
OFF = "0: off."


class HostConfig(CheckConfig):
    """What has to run there, and which figures are too high for how long."""

    services: tuple[Annotated[str, AfterValidator(_service)], ...] = Field(
        (), title="Services", max_length=MOST_NAMED, description="systemd services that must run.", examples=[["nginx", "postgresql"]]
    )  # fmt: skip
    processes: tuple[Annotated[str, Field(max_length=64), AfterValidator(_process)], ...] = Field(
        (), title="Processes", max_length=MOST_NAMED, description="Programs that must run.", examples=[["java"]]
    )
    certificates: tuple[Annotated[str, Field(max_length=200), AfterValidator(_path)], ...] = Field(
        (), title="Certificate files", max_length=MOST_NAMED, description="Told 30, 14, 7, 3 and 1 days before the end.", examples=[["/etc/ssl/certs/shop.pem"]]
    )  # fmt: skip
    updates: bool = Field(True, title="Updates", description="Tell of waiting updates and of a wanted restart.")
    cpu_percent: Percent = Field(90, title="CPU (%)", description=OFF)
    cpu_critical_percent: Percent = Field(None, title="CPU, critical (%)", description=OFF)
    cpu_minutes: Minutes = Field(10, title="CPU for (min)")
    iowait_percent: Percent = Field(40, title="I/O wait (%)", description=OFF)
    iowait_minutes: Minutes = Field(10, title="I/O wait for (min)")
    load_per_core: float | None = Field(4, ge=0, le=1000, title="Load per processor", description=OFF)
    load_minutes: Minutes = Field(15, title="Load for (min)")
    memory_percent: Percent = Field(90, title="Memory (%)", description=OFF)
    memory_critical_percent: Percent = Field(97, title="Memory, critical (%)", description=OFF)
    memory_minutes: Minutes = Field(10, title="Memory for (min)")
    swap_percent: Percent = Field(80, title="Swap (%)", description=OFF)
    swap_minutes: Minutes = Field(15, title="Swap for (min)")
    disk_percent: Percent = Field(85, title="Disk (%)", description=f"Of each disk. {OFF}")
    disk_critical_percent: Percent = Field(95, title="Disk, critical (%)", description=OFF)
    inode_percent: Percent = Field(90, title="Inodes (%)", description=OFF)
    inode_critical_percent: Percent = Field(97, title="Inodes, critical (%)", description=OFF)
    disk_minutes: Minutes = Field(5, title="Disk for (min)")
    disk_full_in_hours: float | None = Field(
        24, ge=0, le=720, title="Disk full in (h)", description=f"As fast as it fills now, where that is steady. {OFF}"
    )
    disk_full_in_hours_critical: float | None = Field(
        4, ge=0, le=720, title="Disk full in, critical (h)", description=OFF
    )
    disk_full_minutes: Minutes = Field(30, title="Disk full in, for (min)")
    temperature: float | None = Field(85, ge=0, le=200, title="Temperature (°C)", description=OFF)
    temperature_critical: float | None = Field(95, ge=0, le=200, title="Temperature, critical (°C)", description=OFF)
    temperature_minutes: Minutes = Field(5, title="Temperature for (min)")


MACHINE, UPDATES = machine.Machine(), updates.Updates()


class HostCheck(Check):
    """The machine that the probe runs on."""

    kind: ClassVar[str] = "host"
    label: ClassVar[str] = "Server (CPU, memory, disks)"
    Config = HostConfig
    source: ClassVar[str] = "resource"
    times_itself: ClassVar[bool] = True  # a machine that is too busy to read itself is not "down"
    main_field: ClassVar[str] = "services"

    @classmethod
    def target(cls, config: HostConfig) -> str:
        """The probe's own machine."""
        names = [*config.services, *config.processes]
        return f"the probe's machine with {', '.join(names[:5])}{' …' if len(names) > 5 else ''}" if names else "the probe's machine"  # fmt: skip

    @classmethod
    async def run(cls, config: Any, ctx: Context) -> Outcome:
        """Nothing was waited for: how long the reading took says nothing of the machine."""
        outcome = await super().run(config, ctx)
        outcome.total_ms = None
        return outcome

    @classmethod
    async def probe(cls, config: HostConfig, ctx: Context, outcome: Outcome) -> None:
        """Read the figures, then see whether what is listed runs."""
        may_look_inside(ctx)
        try:
            async with asyncio.timeout(ctx.timeout):
                await _read(config, ctx, outcome)
        except (TimeoutError, aside.StillUnderWay):
            raise CannotTell("timeout", "The machine's own disks or programs do not answer in time") from None


async def _read(config: HostConfig, ctx: Context, outcome: Outcome) -> None:
    if MACHINE.is_new():
        await aside.run("host", MACHINE.look, ctx.timeout)
        await asyncio.sleep(min(1.0, ctx.timeout / 4))
    sample = await aside.run("host", MACHINE.look, ctx.timeout)
    picture: dict[str, Any] = {"values": sample.values, "facts": sample.facts}
    outcome.facts["host"] = machine.bounded(picture)
    if config.updates and (waiting := UPDATES.now()):
        picture["updates"] = waiting
    if config.certificates:
        picture["certificates"] = await aside.run(
            "certificates", lambda: listed.certificates(config.certificates, ctx.now()), ctx.timeout
        )
    down = await _not_running(config, ctx, picture)
    outcome.facts["host"] = machine.bounded(picture)
    if down:
        raise CheckFailed("content", f"{len(down)} not running: {', '.join(down[:5])}{' …' if len(down) > 5 else ''}")
    if config.services and "services" not in picture:
        raise CannotTell("internal", "systemd does not answer here, so nothing is known of the services")
    outcome.settle(Status.UP, in_words(sample.values))


async def _not_running(config: HostConfig, ctx: Context, picture: dict[str, Any]) -> list[str]:
    """What is listed and does not run, in words; what was found goes into the picture."""
    down: list[str] = []
    if config.processes:
        counted = await aside.run("processes", lambda: listed.processes(config.processes), ctx.timeout)
        picture["processes"] = counted
        down += [f"no process {name}" for name, n in counted.items() if not n]
    if config.services:
        try:
            words = await aside.run("services", lambda: listed.services(config.services), ctx.timeout)
        except listed.NobodyToAsk:
            return down
        picture["services"] = words
        down += [f"service {name} is {word}" for name, word in words.items() if word not in listed.RUNNING]
    return down


def in_words(values: dict[str, float]) -> str:
    """One line for the list: `CPU 12 %, memory 43 %, fullest disk / 71 %`."""
    said = [f"{noun} {values[name]:.0f} %" for name, noun in (("cpu_percent", "CPU"), ("memory_percent", "memory")) if name in values]  # fmt: skip
    full = max(((v, k.partition(":")[2]) for k, v in values.items() if k.startswith("disk_percent:")), default=None)
    return ", ".join([*said, f"fullest disk {full[1]} {full[0]:.0f} %"] if full else said)


def may_look_inside(ctx: Context) -> None:
    """What goes on inside the probe's machine is for those who may watch private things from it (CannotTell otherwise)."""
    if not ctx.reach.private:
        raise CannotTell(
            "blocked", "Only the provider's staff may watch the machine of this probe; ask them to save this monitor"
        )
