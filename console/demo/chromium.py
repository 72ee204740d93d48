"""How does a person press a button? In a real browser without a window: Chromium, spoken to through two pipes (its DevTools protocol)."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60.0  # seconds for one answer, or one page
WINDOWS = {"": (1280, 900, "light"), "-dark": (1280, 900, "dark"), "-phone": (390, 844, "light")}
FLAGS = (
    "--headless=new", "--hide-scrollbars", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--no-proxy-server", "--disable-gpu", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
)  # fmt: skip


def program() -> str | None:
    """Where a Chromium is; None when there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Broken(Exception):
    """The browser ended, or said no."""


class Chromium:
    """A visitor with a browser. `pictures`: where to keep what was seen (None: nowhere). Raises Broken when it does not start."""

    name = "headless Chromium"

    def __init__(self, pictures: Path | None = None) -> None:
        self._pictures, self._number, self._events, self._rest = pictures, 0, list[str](), b""
        # It keeps a socket there, and the path of a socket has to be short.
        self._home = tempfile.mkdtemp(prefix="watchkeeper-browser-", dir="/tmp")  # noqa: S108 - a directory of our own
        self._pid = 0
        try:
            self._start(program() or NAMES[0])
            made = self._ask("Target.createTarget", url="about:blank")
            self._session = self._ask("Target.attachToTarget", targetId=made["targetId"], flatten=True)["sessionId"]
            self._ask("Page.enable")
            self._size("")
        except BaseException:
            self.close()
            raise

    # --- As a visitor does ----------------------------------------------------------------------------------------------
    def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        self._loading(lambda: self._ask("Page.navigate", url=url))

    def text(self) -> str:
        """The page as it is now."""
        return str(self._evaluate("document.documentElement.outerHTML"))

    def follow(self, words: str) -> None:
        """Press the link with these words."""
        found = f"[...document.querySelectorAll('a')].find(a => a.textContent.trim() === {json.dumps(words)})"
        self._press(found, f"the page has no link “{words}”")

    def submit(self, fields: dict[str, str], button: str = "") -> None:
        """Type into the form, and press its button."""
        name, _, value = button.partition("=")
        marks = [f'[name="{one}"]' for one in fields] + ([f'button[name="{name}"][value="{value}"]'] if name else [])
        wanted = json.dumps(marks)
        form = f"[...document.forms].find(f => f.method === 'post' && ({wanted}.length || f.action === location.href) && {wanted}.every(w => f.querySelector(w)))"
        for one, typed in fields.items():
            self._evaluate(f"{form}?.querySelector('[name={json.dumps(one)}]')?.focus()")
            self._ask("Input.insertText", text=typed)
        which = json.dumps(marks[-1] if name else "button[type=submit], button:not([type])")
        self._press(f"{form}?.querySelector({which})", f"the page has no form with {', '.join(fields) or 'one button'}")

    def picture(self, name: str) -> None:
        """`<name>.png`, and the same in the dark and on a phone."""
        if self._pictures is None:
            return
        for suffix in WINDOWS:
            self._size(suffix)
            self._evaluate("document.getAnimations().forEach(a => a.finish())")
            whole = self._ask("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": whole["width"], "height": whole["height"], "scale": 1}
            shot = self._ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
            (self._pictures / f"{name}{suffix}.png").write_bytes(base64.b64decode(shot["data"]))
        self._size("")

    def close(self) -> None:
        """End it and remove its files."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            os.close(self._in)
            os.close(self._out)
            self._pid = 0
        shutil.rmtree(self._home, ignore_errors=True)

    # --- Its parts ------------------------------------------------------------------------------------------------------
    def _size(self, suffix: str) -> None:
        width, height, scheme = WINDOWS[suffix]
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)  # fmt: skip
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def _press(self, found: str, otherwise: str) -> None:
        if not self._evaluate(f"!!({found})"):
            raise LookupError(otherwise)
        self._loading(lambda: self._evaluate(f"({found}).click()"))

    def _loading(self, act: Any) -> None:
        """Do this, and wait until the page that follows is loaded."""
        self._events.clear()
        act()
        until = time.monotonic() + PATIENCE
        while "Page.loadEventFired" not in self._events:
            self._hear(until)

    def _evaluate(self, script: str) -> Any:
        told = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in told:
            raise Broken(str(told["exceptionDetails"].get("text")))
        return told["result"].get("value")

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        order = {"id": self._number, "method": method, "params": params}
        if hasattr(self, "_session"):
            order["sessionId"] = self._session
        os.write(self._in, json.dumps(order).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while (told := self._hear(until)).get("id") != self._number:
            pass
        if "error" in told:
            raise Broken(f"{method}: {told['error'].get('message')}")
        return dict(told["result"])

    def _hear(self, until: float) -> dict[str, Any]:
        """The browser's next message; of events the name is kept."""
        while b"\0" not in self._rest:
            if time.monotonic() > until:
                raise Broken("the browser does not answer")
            try:
                chunk = os.read(self._out, 1 << 20)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            if not chunk:
                raise Broken("the browser ended")
            self._rest += chunk
        raw, _, self._rest = self._rest.partition(b"\0")
        told: dict[str, Any] = json.loads(raw)
        if "method" in told:
            self._events.append(told["method"])
        return told

    def _start(self, path: str) -> None:
        """Chromium listens on its descriptor 3 and speaks on 4."""
        theirs, self._in = _pipe()
        self._out, ours = _pipe()
        os.set_blocking(self._out, False)
        words = [path, *FLAGS, f"--user-data-dir={self._home}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        silence = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
        pipes = [(os.POSIX_SPAWN_DUP2, theirs, 3), (os.POSIX_SPAWN_DUP2, ours, 4)]
        self._pid = os.posix_spawn(path, words, {**os.environ, "HOME": self._home, "TMPDIR": self._home}, file_actions=[*silence, *pipes], setpgroup=0)  # fmt: skip
        os.close(theirs)
        os.close(ours)


def _pipe() -> tuple[int, int]:
    """(read end, write end), both above the descriptors that the browser is given."""
    low = os.pipe()
    read, write = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in low)
    for fd in low:
        os.close(fd)
    return read, write
