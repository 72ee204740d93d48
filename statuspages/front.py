"""What stands behind each address of a page? Finished bytes, made from plain data when first asked for, then kept.

The same bytes serve the portal, a domain of the page's own and the static copy: every link within a page is relative, and
what must be absolute (the feed, the way to subscribe) is made from the page's own address, never from a request's host.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string

from portal.markup import css
from statuspages import colours, feeds, pictures, words
from statuspages.models import Page
from statuspages.scene import zone_of

# Nothing runs, nothing comes from elsewhere; a form leads back to the page itself (its password).
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {}"
NOWHERE, ANYWHERE = POLICY.format("'none'"), POLICY.format("*")
INERT = "default-src 'none'; sandbox; frame-ancestors 'none'"
LOGOS = {"image/png": "logo.png", "image/jpeg": "logo.jpg", "image/webp": "logo.webp", "image/gif": "logo.gif"}
HTML, SVG = "text/html; charset=utf-8", "image/svg+xml"


@dataclass(frozen=True, slots=True)
class File:
    """What one address answers."""

    content: bytes
    type: str
    policy: str
    etag: str
    packed: bytes | None  # gzip, where it saves something


def made(content: bytes, kind: str, policy: str = INERT) -> File:
    """A file with its validator and its packed form."""
    packed = (
        gzip.compress(content, 6, mtime=0)
        if len(content) > 600 and not kind.startswith(("image/p", "image/j"))
        else None
    )
    smaller = packed if packed is not None and len(packed) < len(content) else None
    return File(content, kind, policy, f'"{hashlib.sha256(content).hexdigest()[:32]}"', smaller)


def home_of(page: Page) -> str:
    """The page's own address, ending in a slash: its domain when that is proved, else below the portal's."""
    if page.custom_domain and page.domain_verified_at:
        return f"https://{page.custom_domain}/"
    return f"{settings.BASE_URL}/status/{page.slug}/"


@dataclass(slots=True)
class Front:
    """One page as of one moment."""

    slug: str
    body: Mapping[str, Any]
    as_of: datetime
    digest: str
    home: str
    zone: tzinfo
    theme: str
    accent: str
    custom_css: str
    logo: bytes
    logo_type: str
    private: bool = False  # not for everybody: what only the portal can give is linked here, never copied elsewhere
    files: dict[str, File | None] = field(default_factory=dict)
    making: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, page: Page, body: Mapping[str, Any], built_at: datetime, digest: str) -> Front:
        """From the page's row and its projection."""
        return cls(
            slug=page.slug, body=body, as_of=built_at.astimezone(UTC), digest=digest, home=home_of(page), zone=zone_of(page), theme=page.theme,
            accent=page.accent, custom_css=page.custom_css, logo=bytes(page.logo or b""), logo_type=page.logo_type,
            private=page.visibility != Page.Visibility.PUBLIC,
        )  # fmt: skip

    @property
    def language(self) -> str:
        return str(self.body["page"]["language"])

    @property
    def logo_name(self) -> str:
        """The logo's address; empty without one that may be shown."""
        return LOGOS.get(self.logo_type, "") if self.logo else ""

    def file(self, path: str) -> File | None:
        """What this address (below the page's, without a leading slash) answers; None: there is no such address."""
        if path not in self.files:
            with self.making:  # a page that has just changed is made once, however many ask for it
                found = self.files[path] if path in self.files else self._make(path)
                if found is None:  # other people's guesses are not kept
                    return None
                self.files[path] = found
        return self.files[path]

    def addresses(self) -> list[str]:
        """All that can be asked of it."""
        months = [month["month"] for month in self.body["history"]]
        fixed = [
            "",
            "index.json",
            "feed.atom",
            "style.css",
            "icon.svg",
            "badge.svg",
            "embed/",
            *([self.logo_name] if self.logo_name else []),
        ]
        return [
            *fixed,
            *(f"badge/{c['id']}.svg" for c in self._components()),
            *(f"history/{month}/" for month in months),
            *(f"incidents/{pk}/" for pk in self._incidents()),
        ]

    def _components(self) -> list[dict[str, Any]]:
        return [c for group in self.body["groups"] for c in group["components"]]

    def _incidents(self) -> dict[int, dict[str, Any]]:
        past = [one for month in self.body["history"] for one in month["incidents"]]
        return {one["id"]: one for one in [*past, *self.body["incidents"]]}

    def _make(self, path: str) -> File | None:
        for pattern, make in ADDRESSES:
            match = pattern.fullmatch(path)
            if match:
                return make(self, *match.groups())
        return None

    # --- What is behind them ----------------------------------------------------------------------------------------------
    def _page(self, template: str, root: str, policy: str = NOWHERE, **more: Any) -> File:
        state = self.body["state"]
        subscribe = (
            f"{root or './'}subscribe/" if self.private else f"{settings.BASE_URL}/status/{self.slug}/subscribe/"
        )
        context = {
            **self.body, "root": root, "language": self.language, "zone": self.zone, "zone_name": self.body["page"]["timezone"], "theme": self.theme,
            "logo": self.logo_name, "as_of": self.as_of.isoformat(timespec="seconds"), "home": self.home,
            "sentence": words.sentence(self.language, state["status"], state["components"]),
            "subscribe": subscribe if self.body["page"]["subscriptions"] else "", "feed": "feed/" if self.private else "feed.atom", **more,
        }  # fmt: skip
        return made(render_to_string(f"statuspages/public/{template}", context).encode(), HTML, policy)

    def _index(self) -> File:
        months = [m["month"] for m in self.body["history"]]
        past = any(one["resolved_at"] for one in self.body["incidents"])
        return self._page("page.html", "", month=months[0] if months else "", has_past=past)

    def _embed(self) -> File:
        return self._page("embed.html", "../", ANYWHERE)

    def _json(self) -> File:
        body = {"as_of": self.as_of.isoformat(timespec="seconds").replace("+00:00", "Z"), "url": self.home, **self.body}
        return made(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), "application/json")

    def _feed(self) -> File:
        return made(feeds.atom(self.body, self.home, self.as_of), "application/atom+xml; charset=utf-8")

    def private_feed(self, own: str) -> File:
        """The feed as it is at an address that only some know."""
        return made(feeds.atom(self.body, self.home, self.as_of, own), "application/atom+xml; charset=utf-8")

    def feeds_place(self, address: str, *, person: bool) -> File:
        """What to give to a feed reader. `person`: the address is one reader's own."""
        return self._page("feeds_place.html", "../", address=address, person=person)

    def _style(self) -> File:
        light, dark = colours.pair(self.accent)
        base = render_to_string("statuspages/public/style.css", {"light": light, "dark": dark})
        return made(f"{base}\n{css(self.custom_css)[0] if self.custom_css else ''}".encode(), "text/css; charset=utf-8")

    def _logo(self, ending: str) -> File | None:
        return made(self.logo, self.logo_type) if self.logo_name == f"logo.{ending}" else None

    def _icon(self) -> File:
        return made(pictures.icon(self.body["state"]["status"]).encode(), SVG)

    def _badge(self) -> File:
        name, status = self.body["page"]["name"], self.body["state"]["status"]
        return made(pictures.badge(name, status, self.language).encode(), SVG)

    def _component_badge(self, pk: str) -> File | None:
        for c in self._components():
            if str(c["id"]) == pk:
                return made(pictures.badge(c["name"], c["status"], self.language).encode(), SVG)
        return None

    def _month(self, of: str) -> File | None:
        months = {month["month"]: month for month in self.body["history"]}
        if of not in months:
            return None
        newest_first = list(months)
        n = newest_first.index(of)
        earlier = newest_first[n + 1] if n + 1 < len(newest_first) else ""
        return self._page(
            "month.html", "../../", month=months[of], earlier=earlier, later=newest_first[n - 1] if n else ""
        )

    def _incident(self, pk: str) -> File | None:
        one = self._incidents().get(int(pk))
        return self._page("incident.html", "../../", incident=one) if one else None


ADDRESSES: list[tuple[re.Pattern[str], Callable[..., File | None]]] = [
    (re.compile(pattern), make)
    for pattern, make in (
        (r"", Front._index),
        (r"index\.json", Front._json),
        (r"feed\.atom", Front._feed),
        (r"style\.css", Front._style),
        (r"logo\.(png|jpg|webp|gif)", Front._logo),
        (r"icon\.svg", Front._icon),
        (r"badge\.svg", Front._badge),
        (r"badge/([1-9][0-9]{0,17})\.svg", Front._component_badge),
        (r"embed/", Front._embed),
        (r"history/([0-9]{4}-[0-9]{2})/", Front._month),
        (r"incidents/([1-9][0-9]{0,17})/", Front._incident),
    )
]  # fmt: skip
