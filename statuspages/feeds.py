"""How does a feed reader hear of incidents and planned work? Atom (RFC 4287), from the same plain data as the page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as tree

from statuspages.pictures import NO_XML
from statuspages.words import sentence, word

ATOM = "http://www.w3.org/2005/Atom"
MOST = 50


def atom(body: Mapping[str, Any], home: str, built_at: datetime, own: str = "") -> bytes:
    """The feed: open and past incidents of twelve months and works, newest news first, at most fifty.

    `home` is the page's own address, ending in a slash: it is also what makes each entry's id last. `own` is the feed's
    address where that is another than `feed.atom` below it.
    """
    tree.register_namespace("", ATOM)
    page = body["page"]
    root = tree.Element(f"{{{ATOM}}}feed", {"{http://www.w3.org/XML/1998/namespace}lang": page["language"]})
    entries = sorted(_entries(body), key=lambda one: one["updated"], reverse=True)[:MOST]
    _text(root, "id", home)
    _text(root, "title", word(page["language"], "status_of", a=page["name"]))
    state = body["state"]
    _text(root, "subtitle", sentence(page["language"], state["status"], state["components"]))
    _text(root, "updated", entries[0]["updated"] if entries else built_at.isoformat(timespec="seconds"))
    tree.SubElement(
        root, f"{{{ATOM}}}link", {"rel": "self", "type": "application/atom+xml", "href": own or f"{home}feed.atom"}
    )
    tree.SubElement(root, f"{{{ATOM}}}link", {"rel": "alternate", "type": "text/html", "href": home})
    _text(tree.SubElement(root, f"{{{ATOM}}}author"), "name", page["name"])
    for one in entries:
        entry = tree.SubElement(root, f"{{{ATOM}}}entry")
        _text(entry, "id", f"{home}{one['path']}")
        _text(entry, "title", one["title"])
        _text(entry, "published", one["published"])
        _text(entry, "updated", one["updated"])
        tree.SubElement(
            entry, f"{{{ATOM}}}link", {"rel": "alternate", "type": "text/html", "href": f"{home}{one['path']}"}
        )
        _text(entry, "content", one["html"]).set("type", "html")
    return tree.tostring(root, encoding="utf-8", xml_declaration=True)


def _text(parent: tree.Element, name: str, text: str) -> tree.Element:
    child = tree.SubElement(parent, f"{{{ATOM}}}{name}")
    child.text = text.translate(NO_XML)
    return child


def _entries(body: Mapping[str, Any]) -> list[dict[str, str]]:
    language, found = body["page"]["language"], {}
    for kind, rows in (("incidents", _all(body, "incidents")), ("works", _all(body, "works"))):
        for one in rows:
            news = [
                f'<p><strong>{word(language, update["status"])}</strong> <time datetime="{update["at"]}">{update["at"]}</time></p>{update["html"]}'
                for update in reversed(one["updates"])
            ]
            begins = (
                one.get("began_at") or one["updates"][0]["at"]
                if one["updates"]
                else one.get("began_at") or one["starts_at"]
            )
            path = f"incidents/{one['id']}/" if kind == "incidents" else f"#work-{one['id']}"
            found[path] = {
                "path": path, "title": f"{one['title']} ({word(language, one['status'])})", "published": begins,
                "updated": max([begins, *(u["at"] for u in one["updates"])]), "html": "".join(news) + one.get("html", ""),
            }  # fmt: skip
    return list(found.values())


def _all(body: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return [*body[kind], *(one for month in body["history"] for one in month[kind])]
