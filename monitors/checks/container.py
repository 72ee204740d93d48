"""How are the containers on the machine that the probe runs on? Asked of Docker or Podman over their Unix socket, reading only.

What was seen travels in `facts["containers"]`; whether a container is unwell is judged where the record is kept
(monitors/hosts/judging.py). The monitor itself fails when the engine does not answer.

A container's labels count over the monitor's settings: `watchkeeper.ignore=true`, `watchkeeper.severity=critical`,
`watchkeeper.cpu_percent=200`, `watchkeeper.memory_percent=off`, `watchkeeper.updates=off`.
"""

import asyncio
import json
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from monitors.hosts import containers, registry
from monitors.hosts.docker import Engine, EngineTrouble

from .base import CannotTell, Check, CheckConfig, CheckFailed, Context, Outcome, Status
from .host import OFF, may_look_inside

MOST_CONTAINERS, MOST_BYTES = 200, 65536
AT_ONCE = 8
ASKED_AGAIN, AFTER_TROUBLE = 6 * 3600.0, 3600.0  # seconds between two questions about one image
ASKED_AT_ONCE, PATIENCE = 2, 4.0
MOST_REMEMBERED, MOST_ENGINES = 1000, 20
LONGEST_PAST = 3600.0  # seconds of events that are asked for


def _socket(path: str) -> str:
    path = path.strip().removeprefix("unix://")
    if not path.startswith("/") or not path.isprintable():
        raise ValueError("Write the whole path of the socket, such as /var/run/docker.sock")
    return path


def _pattern(text: str) -> str:
    text = text.strip()
    if not text or not text.isprintable():
        raise ValueError("Write a container's name; * stands for any text, as in shop-*")
    return text


Pattern = Annotated[str, Field(max_length=100), AfterValidator(_pattern)]


class ContainerConfig(CheckConfig):
    """Which engine, which containers, and from when on they are too busy."""

    socket: Annotated[str, AfterValidator(_socket)] = Field(
        "/var/run/docker.sock", title="Socket", max_length=100, description="Docker's or Podman's, on the probe's machine; the probe has to be allowed to read it.", examples=["/run/podman/podman.sock"]
    )  # fmt: skip
    include: tuple[Pattern, ...] = Field(
        (), title="Only these", max_length=50, description="Names; * stands for any text. Empty: all.", examples=[["shop-*"]]
    )  # fmt: skip
    exclude: tuple[Pattern, ...] = Field(
        (),
        title="Not these",
        max_length=50,
        description="Names; * stands for any text. The label watchkeeper.ignore=true does the same.",
        examples=[["*-test"]],
    )
    severity: Literal["info", "warning", "critical"] = Field(
        "warning", title="Severity of a container", description="Of one that is down or unhealthy; its label watchkeeper.severity goes before."
    )  # fmt: skip
    cpu_percent: float | None = Field(
        None,
        ge=0,
        le=100000,
        title="CPU (%)",
        description=f"Of one processor; 200 is two. Its label watchkeeper.cpu_percent goes before. {OFF}",
    )
    memory_percent: float | None = Field(
        90,
        ge=0,
        le=100,
        title="Memory (%)",
        description=f"Of its limit, or of the machine. Its label watchkeeper.memory_percent goes before. {OFF}",
    )
    minutes: float = Field(10, ge=0, le=1440, title="CPU and memory for (min)")
    log_lines: int = Field(
        50, ge=0, le=50, title="Log lines", description="Kept when a container dies. 0: none, where logs hold secrets."
    )
    updates: bool = Field(
        True,
        title="Newer images",
        description="Ask the registries, at most every six hours; not where its label says watchkeeper.updates=off.",
    )


@dataclass(slots=True)
class Memory:
    """What is remembered of one engine from look to look, in this process."""

    pictures: dict[str, dict[str, Any]] = field(default_factory=dict)  # by container id
    counters: dict[str, containers.Counters] = field(default_factory=dict)
    digests: OrderedDict[str, set[str]] = field(default_factory=OrderedDict)  # by image id
    ends: dict[str, tuple[int, bool]] = field(default_factory=dict)  # how each ended last: exit code, out of memory
    looked_at: float | None = None  # Unix time


_engines: OrderedDict[str, Memory] = OrderedDict()  # by a monitor's settings
_updates: OrderedDict[str, tuple[float, dict[str, Any] | None]] = (
    OrderedDict()
)  # image -> (ask again at, what is newer)


class ContainerCheck(Check):
    """The containers of one engine."""

    kind: ClassVar[str] = "container"
    label: ClassVar[str] = "Containers (Docker, Podman)"
    Config = ContainerConfig
    source: ClassVar[str] = "container"
    times_itself: ClassVar[bool] = True
    main_field: ClassVar[str] = "include"

    @classmethod
    def target(cls, config: ContainerConfig) -> str:
        """Which containers, and the socket where it is not the usual one."""
        which = ", ".join(config.include[:5]) or "all containers"
        usual = config.socket == ContainerConfig.model_fields["socket"].default
        return which if usual else f"{which} at {config.socket}"

    @classmethod
    async def run(cls, config: Any, ctx: Context) -> Outcome:
        """How long the reading took says nothing of the containers."""
        outcome = await super().run(config, ctx)
        outcome.total_ms = None
        return outcome

    @classmethod
    async def probe(cls, config: ContainerConfig, ctx: Context, outcome: Outcome) -> None:
        """List, look into each, and ask the registries about one or two images."""
        may_look_inside(ctx)
        engine, memory = Engine(config.socket), _memory(config)
        try:
            async with asyncio.timeout(ctx.timeout):
                listed = await engine.containers()
                chosen = _chosen(listed, config)
                await _hear_of_ends(engine, memory)
                room = asyncio.Semaphore(AT_ONCE)
                rows = await asyncio.gather(*(_look(engine, memory, row, config, room) for row in chosen[:MOST_CONTAINERS]))  # fmt: skip
        except FileNotFoundError:
            raise CheckFailed(
                "connect", f"There is no socket {config.socket}; the container engine does not run"
            ) from None
        except EngineTrouble as trouble:
            if trouble.status == 403:
                raise CannotTell("permission", "The engine's socket does not let this probe list containers") from None
            raise CheckFailed("protocol", str(trouble)) from None
        pictures = [row for row in rows if row is not None]
        alive = {str(row.get("Id", "")) for row in listed}
        for kept in (memory.pictures, memory.counters, memory.ends):
            for gone in [k for k in kept if k not in alive]:
                del kept[gone]
        if config.updates:
            await _ask_registries(pictures, memory, ctx)
        cut = len(chosen) > MOST_CONTAINERS
        outcome.facts["containers"] = bounded({"list": [_sent(p) for p in pictures], "cut": cut})
        running = sum(p.get("state") == "running" for p in pictures)
        outcome.settle(
            Status.UP, f"{running} of {len(pictures)} containers run" if pictures else "There are no containers"
        )


def _memory(config: ContainerConfig) -> Memory:
    """Two monitors of one engine do not share what they have seen: each has to notice a death by itself."""
    key = config.model_dump_json()
    found = _engines.setdefault(key, Memory())
    _engines.move_to_end(key)
    while len(_engines) > MOST_ENGINES:
        _engines.popitem(last=False)
    return found


def _chosen(listed: list[dict[str, Any]], config: ContainerConfig) -> list[tuple[str, str]]:
    """(name, id) of the containers that are to be watched, by name."""
    found = []
    for row in listed:
        names = row.get("Names")
        name = containers.name_of(str(names[0])) if isinstance(names, list) and names else ""
        labels = containers.labels_of(row.get("Labels"))
        if name and containers.is_wanted(name, labels, config.include, config.exclude):
            found.append((name, str(row.get("Id", ""))))
    return sorted(found)


async def _look(
    engine: Engine, memory: Memory, which: tuple[str, str], config: ContainerConfig, room: asyncio.Semaphore
) -> dict[str, Any] | None:
    """One container's picture; None when it is gone meanwhile, `unread` when the engine will not say."""
    name, key = which
    async with room:
        try:
            inspected = await engine.inspect(key)
            picture = containers.picture(inspected)
            if picture["state"] == "running":
                await _measure(engine, memory, picture)
            picture["image_id"] = str(inspected.get("Image", ""))[:100]
            picture["digest"] = min(await _digests(engine, memory, picture["image_id"]), default="")
            if config.log_lines and containers.has_died(memory.pictures.get(key), picture):
                try:
                    picture["log"] = containers.tail(await engine.logs(key, config.log_lines), config.log_lines)
                except (EngineTrouble, TimeoutError):
                    picture["log"] = ""
        except EngineTrouble as trouble:
            return None if trouble.status == 404 else {"name": name, "unread": True}
        except TimeoutError:
            return {"name": name, "unread": True}
    _with_end(picture, memory.ends.get(key))
    memory.pictures[key] = picture
    return picture


async def _hear_of_ends(engine: Engine, memory: Memory) -> None:
    """How containers ended since the last look. Without events (an engine that has none) their present state has to do."""
    since, memory.looked_at = memory.looked_at, time.time()
    if since is None or not 0 < memory.looked_at - since < LONGEST_PAST:
        return
    try:
        for key, code, starved in await engine.ends(since, memory.looked_at):
            memory.ends[key] = code, starved
    except (EngineTrouble, TimeoutError):
        return


def _with_end(picture: dict[str, Any], end: tuple[int, bool] | None) -> None:
    """One that was started again says of itself that all is well: how it ended the last time is added."""
    if end is not None and picture["restart_count"] and picture["state"] in ("running", "restarting"):
        picture["exit_code"], picture["oom_killed"] = end


async def _digests(engine: Engine, memory: Memory, image_id: str) -> set[str]:
    """Under which digests its image was fetched; an image that was built here has none."""
    if image_id not in memory.digests:
        try:
            memory.digests[image_id] = registry.local_digests(await engine.image(image_id))
        except (EngineTrouble, TimeoutError):
            return set()
        while len(memory.digests) > MOST_REMEMBERED:
            memory.digests.popitem(last=False)
    return memory.digests[image_id]


async def _measure(engine: Engine, memory: Memory, picture: dict[str, Any]) -> None:
    key = picture["id"]
    try:
        stats = await engine.stats(key)
    except (EngineTrouble, TimeoutError):
        return
    picture["values"], counters = containers.usage(stats, memory.counters.get(key), time.monotonic())
    if counters is not None:
        memory.counters[key] = counters


async def _ask_registries(pictures: list[dict[str, Any]], memory: Memory, ctx: Context) -> None:
    """What is known of newer images goes into the pictures; of those that are due again, two are asked about in this look."""
    now = time.monotonic()
    due: dict[str, tuple[registry.Image, str]] = {}
    for picture in pictures:
        image = registry.image_of(picture.get("image", ""))
        if image is not None and image.tag:
            picture["asked"] = key = f"{picture['image']} {picture['image_id']}"
            if key not in _updates or _updates[key][0] <= now:
                due.setdefault(key, (image, picture["image_id"]))
    registries = registry.Registries(ctx.http, ctx.reach, PATIENCE)
    asked = list(due.items())[:ASKED_AT_ONCE]
    await asyncio.gather(*(_ask(registries, key, image, image_id, memory) for key, (image, image_id) in asked))
    for picture in pictures:
        known = _updates.get(picture.pop("asked", ""))
        if known is not None and known[1] is not None:
            picture["update"] = known[1]


async def _ask(registries: registry.Registries, key: str, image: registry.Image, image_id: str, memory: Memory) -> None:
    found: dict[str, Any] | None
    try:
        async with asyncio.timeout(2 * PATIENCE):
            found = await registries.update_of(image, memory.digests.get(image_id, set()))
        again = ASKED_AGAIN
    except (registry.CannotAsk, TimeoutError):  # what was known holds until somebody says otherwise
        found, again = (_updates[key][1] if key in _updates else None), AFTER_TROUBLE
    _updates[key] = (time.monotonic() + again, found)
    _updates.move_to_end(key)
    while len(_updates) > MOST_REMEMBERED:
        _updates.popitem(last=False)


def _sent(picture: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in picture.items() if k != "image_id"}


def bounded(facts: dict[str, Any], most: int = MOST_BYTES) -> dict[str, Any]:
    """The facts in at most so many bytes of JSON: logs go first, then the last containers."""
    if len(json.dumps(facts).encode()) <= most:
        return facts
    rows = [{k: v for k, v in row.items() if k != "log"} for row in facts["list"]]
    while rows and len(json.dumps(rows).encode()) > most - 200:
        rows = rows[: len(rows) * 9 // 10]
    return {"list": rows, "cut": facts["cut"] or len(rows) < len(facts["list"])}
