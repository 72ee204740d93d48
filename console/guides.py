"""How is it done? The task guides of docs/, and which page each is about."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from portal.markup import markdown

DOCS = Path(settings.BASE_DIR) / "docs"
# name of its file: what it is about, and the pages (beginnings of addresses) that lead to it
GUIDES: dict[str, tuple[str, tuple[str, ...]]] = {
    "first-site": ("The first site", ("/monitors/", "/sites/", "/monitor-templates/", "/clients/")),
    "first-probe": ("The first probe", ("/probes/",)),
    "on-call": ("On call", ("/on-call/", "/escalation-policies/", "/contacts/", "/contact-groups/", "/simulate/", "/page-now/")),
    "answering": ("Answering where one reads it", ("/alerts/", "/channels/", "/triggers/")),
    "playbooks": ("A playbook", ("/playbooks/", "/approvals/", "/runs/")),
    "actions": ("What a probe may do on its machine", ()),
    "status-page": ("A status page", ("/status-pages/", "/incidents/")),
    "assistants": ("Assistants (MCP)", ()),
    "configuration": ("Configuration from files", ()),
    "leaving": ("When a client leaves", ("/trash/",)),
    "moving-over": ("Moving over from another tool", ()),
    "install-debian": ("Install on Debian", ()),
    "install-compose": ("Install with Docker Compose", ()),
    "backup": ("Backup and restore", ()),
    "upgrade": ("Upgrade", ()),
}  # fmt: skip
PICTURES = DOCS / "pictures"  # made by `make pictures`
PICTURE = re.compile(r"^!\[([^\]]+)\]\(pictures/([a-z0-9-]+)\.webp\)$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\((?:\.\./)?(?:docs/)?([\w./-]+)\)")


@dataclass(frozen=True, slots=True)
class Guide:
    """One guide as a page shows it."""

    name: str
    title: str
    html: SafeString


def link(path: str) -> tuple[str, str] | None:
    """(address, title) of the guide that belongs to a page's address; None where there is none."""
    fits = ((f"/help/{name}/", title) for name, (title, places) in GUIDES.items() if places and path.startswith(places))
    return next(fits, None)


def all_there() -> list[Guide]:
    """Every guide that this installation has."""
    return [found for name in GUIDES if (found := read(name))]


@functools.cache
def read(name: str) -> Guide | None:
    """A guide with its links leading to the other guides; None when there is none of this name."""
    if name not in GUIDES or not (DOCS / f"{name}.md").is_file():
        return None
    title, _, text = (DOCS / f"{name}.md").read_text(encoding="utf-8").partition("\n")
    words, *more = PICTURE.split(text)
    html = [markdown(LINK.sub(_lead, words))]
    for about, picture, words in zip(more[::3], more[1::3], more[2::3], strict=True):
        html += [_figure(picture, about), markdown(LINK.sub(_lead, words))]
    return Guide(name, title.lstrip("# ").strip(), mark_safe("".join(html)))


def picture(name: str) -> Path | None:
    """The file of a picture that a guide shows; None when there is none of this name."""
    found = PICTURES / f"{name}.webp"
    return found if re.fullmatch("[a-z0-9-]+", name) and found.is_file() else None


def _figure(name: str, about: str) -> SafeString:
    """A picture with its words below, its place kept free while it loads."""
    found = picture(name)
    wide, high = _size(found.read_bytes()) if found else (0, 0)
    return format_html(
        '<figure class="shot"><img src="/help/pictures/{}.webp" alt="" width="{}" height="{}" loading="lazy"><figcaption>{}</figcaption></figure>',
        name, wide, high, about,
    )  # fmt: skip


def _size(webp: bytes) -> tuple[int, int]:
    """Width and height in pixels of a WebP picture of any of the three kinds (RFC 9649, section 2)."""
    kind, body = webp[12:16], webp[20:30]
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF


def _lead(match: re.Match[str]) -> str:
    """A link to another guide leads to its page; one to anything else of the source is its words alone."""
    words, name = match[1], match[2].removesuffix(".md")
    return f"[{words}]({settings.BASE_URL}/help/{name}/)" if name in GUIDES else words
