"""What does a mail scanner do with a letter? It follows every link and presses everything it finds, before the person even reads.

It comes from several addresses, as a browser with scripts too, and has no session of anybody's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from tests.rig.mailbox import Mail

ADDRESSES = tuple(f"127.0.0.{n}" for n in range(2, 7))
PATIENCE = 60.0  # seconds for an answer
TYPED = "scanner@mx.example"  # what it writes into a field
DIGITS = "000000"
SENDS = "button:not([type=button]), [type=submit]"  # what sends a form


class _Page(HTMLParser):
    """The links and forms of a page: a form is (method, action, fields, the buttons that send it)."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.links: list[str] = []
        self.forms: list[dict[str, Any]] = []
        self.within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {name: value or "" for name, value in attrs}
        if tag == "a" and a.get("href"):
            self.links.append(urljoin(self.address, a["href"]))
        if tag == "form":
            action = urljoin(self.address, a.get("action") or self.address)
            self.forms.append({"method": a.get("method", "get").lower(), "to": action, "fields": {}, "buttons": []})
            self.within = True
        if not self.within or not a.get("name"):
            return
        form = self.forms[-1]
        if tag == "button" or (tag == "input" and a.get("type") == "submit"):
            form["buttons"].append({a["name"]: a.get("value", "")})
        elif tag in ("input", "textarea", "select"):
            form["fields"][a["name"]] = a.get("value") or (DIGITS if a.get("inputmode") == "numeric" else TYPED)

    def handle_endtag(self, tag: str) -> None:
        self.within = self.within and tag != "form"


def links(mail: Mail) -> list[str]:
    """Every link of a letter, of its text and of its HTML, each once."""
    page = _Page("")
    page.feed(mail.html)
    found = [*re.findall(r"https?://[^\s<>\"]+", mail.text), *page.links]
    return list(dict.fromkeys(link.rstrip(".,;") for link in found if link.startswith("http")))


class Scanner:
    """A program at one address; `pressed` counts what it has sent."""

    def __init__(self, address: str) -> None:
        self.address, self.pressed = address, 0
        self.known: set[str] = set()  # pages whose forms were pressed: signing in looks alike wherever it leads back to

    def _session(self) -> requests.Session:
        """A new one without cookies, from this address and straight to the portal."""
        session = requests.Session()
        session.trust_env = False
        adapter = HTTPAdapter()
        adapter.init_poolmanager(1, 4, source_address=(self.address, 0))
        session.mount("http://", adapter)
        return session

    def visits(self, link: str) -> None:
        """Ask for it in every way, then press every form of its page and of the pages that it leads to, each once."""
        with self._session() as session:
            for method in ("GET", "HEAD", "OPTIONS"):
                self._ask(session, method, link)
        for word in ("approve", "deny"):
            for method in ("POST", "PUT", "DELETE"):
                with self._session() as session:  # without so much as a cookie
                    self._ask(session, method, link, data={"word": word})
        for address in self._pages(link):
            self._presses(address)

    def _pages(self, link: str) -> Iterator[str]:
        """The page itself and those that it leads to on the same host."""
        with self._session() as session:
            page = self._read(self._ask(session, "GET", link))
        beside = [one for one in page.links if urlsplit(one).netloc == urlsplit(link).netloc]
        yield from dict.fromkeys(one.partition("#")[0] for one in (link, *beside))

    def _presses(self, address: str) -> None:
        """Every form by each of its buttons: as it came with the page's token and cookie, then without either."""
        with self._session() as session:
            page = self._read(self._ask(session, "GET", address))
            place = page.address.partition("?")[0]
            if place in self.known:
                return
            self.known.add(place)
            for form in page.forms:
                for button in form["buttons"] or [{}]:
                    sent = {**form["fields"], **button}
                    self._send(session, form, sent)
                    with self._session() as bare:
                        self._send(bare, form, {k: v for k, v in sent.items() if k != "csrfmiddlewaretoken"})

    def _send(self, session: requests.Session, form: dict[str, Any], sent: dict[str, str]) -> None:
        where = {"params": sent} if form["method"] == "get" else {"data": sent}
        self._ask(session, form["method"].upper(), form["to"], headers={"Referer": form["to"]}, **where)

    def _ask(self, session: requests.Session, method: str, address: str, **more: Any) -> requests.Response:
        self.pressed += method not in ("GET", "HEAD", "OPTIONS")
        answer = session.request(method, address, timeout=PATIENCE, **more)
        assert answer.status_code < 500, f"{method} {address}: {answer.status_code}"
        return answer

    @staticmethod
    def _read(answer: requests.Response) -> _Page:
        page = _Page(answer.url)
        page.feed(answer.text)
        return page


def scan(found: list[str]) -> int:
    """From every address at every link; how many forms and the like were sent."""
    scanners = [Scanner(address) for address in ADDRESSES]
    for scanner in scanners:
        for link in found:
            scanner.visits(link)
    return sum(scanner.pressed for scanner in scanners)


def scan_with_scripts(chromium: Any, found: list[str]) -> int:
    """A browser without a session opens every link, fills in each form and sends it by each button, and by script alone.

    Returns how many times something was sent.
    """
    window, sent = chromium.new_context(), 0
    page = window.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    for link in found:
        page.goto(link)
        ways = page.evaluate(
            "[...document.forms].map(form => 1 + form.querySelectorAll(SENDS).length)".replace("SENDS", repr(SENDS))
        )
        for form, many in enumerate(ways):
            for way in range(many):
                page.goto(link)
                if page.evaluate(PRESS, [form, way, DIGITS]):
                    page.wait_for_function("!window.pressed && document.readyState === 'complete'")
                    sent += 1
    window.close()
    return sent


# Fills in what is empty, then presses the button of that number; 0: sends the form without pressing any. Was it sent?
PRESS = """([form, way, typed]) => {
  const chosen = document.forms[form];
  chosen.noValidate = true;
  for (const field of chosen.querySelectorAll('input:not([type=hidden]), textarea')) field.value ||= typed;
  const button = chosen.querySelectorAll(SENDS)[way - 1];
  let sent = !button;
  window.addEventListener('submit', event => { sent = !event.defaultPrevented; });
  window.pressed = true;
  button ? button.click() : HTMLFormElement.prototype.submit.call(chosen);
  return sent;
}""".replace("SENDS", repr(SENDS))
