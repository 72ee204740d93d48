"""In which order do rows that name each other come about? What a group holds before the group; a parent before its children."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from console.configuration.document import Item
from console.configuration.references import Key


def _key(written: Any, owner: str | None) -> Key | None:
    if isinstance(written, str):
        return Key(owner, written)
    if isinstance(written, dict) and isinstance(written.get("name"), str):
        return Key(written.get("client", owner), written["name"], written.get("nth", 1))
    return None


def _depths(items: Iterable[Item], named: Callable[[Item], Iterable[Any]]) -> dict[Key, int]:
    """How far each item is from one that names nobody. Circles end somewhere: the services refuse them with their words."""
    links = {item.key: [_key(written, item.owner) for written in named(item)] for item in items}
    depths: dict[Key, int] = {}
    for start in links:
        path: list[tuple[Key, int]] = [(start, 0)]
        seen = {start}
        while path:
            key, turn = path.pop()
            following = [k for k in links.get(key, ()) if k is not None and k in links]
            if turn < len(following):
                path.append((key, turn + 1))
                if following[turn] not in depths and following[turn] not in seen:
                    seen.add(following[turn])
                    path.append((following[turn], 0))
            else:
                depths[key] = 1 + max((depths.get(k, 0) for k in following), default=-1)
    return depths


def parts_first(items: list[Item]) -> list[Item]:
    """Groups of monitors after what they hold; everything else as it was."""
    if not any(item.values.get("kind") == "group" for item in items):
        return items
    depths = _depths(items, lambda item: _members(item))
    return sorted(items, key=lambda item: depths[item.key])


def _members(item: Item) -> list[Any]:
    config = item.values.get("config")
    listed = config.get("monitors") if isinstance(config, dict) and item.values.get("kind") == "group" else None
    return listed if isinstance(listed, list) else []


def outer_first(some: list[Item], every: list[Item]) -> list[Item]:
    """Of these, parents before their children, as they will be."""
    depths = _depths(every, lambda item: [item.values["parent"]] if "parent" in item.values else [])
    return sorted(some, key=lambda item: depths[item.key])
