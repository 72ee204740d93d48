"""How is it done? The task guides of docs/, and which page each is about."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils.safestring import SafeString

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
    "moving-over": ("Moving over from another tool", ()),
    "backup": ("Backup and restore", ()),
    "upgrade": ("Upgrade", ()),
}  # fmt: skip
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
    return Guide(name, title.lstrip("# ").strip(), markdown(LINK.sub(_lead, text)))


def _lead(match: re.Match[str]) -> str:
    """A link to another guide leads to its page; one to anything else of the source is its words alone."""
    words, name = match[1], match[2].removesuffix(".md")
    return f"[{words}]({settings.BASE_URL}/help/{name}/)" if name in GUIDES else words
