"""How does a page outlive the portal? As plain files in a folder, written at each change, carried elsewhere by a command.

Where copies go is the operator's word: `PUBLISH_FOLDER` is the folder below which every copy lies, `PUBLISH_COMMAND` (rsync,
rclone, aws s3 sync …) is run with a copy's folder as its last argument; neither can be set from a page. Only pages for
everybody are written. Each file is replaced whole, the first page last; what is not in the newest copy is taken away, and
of other files in the folder nothing is touched. A page that is no longer for everybody is taken away as well.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings

from portal.logs import redact
from statuspages.front import Front
from statuspages.models import Page

log = logging.getLogger("watchkeeper.pages")

PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LISTING = ".watchkeeper-files.json"  # what we wrote, so that nothing else is ever taken away
COMMAND_SECONDS = 120
AGAIN = timedelta(minutes=5)  # so that the time on a copy says that the portal lives
AFTER_TROUBLE = timedelta(minutes=1)
# Of the environment, the command gets everything but what opens the portal itself.
OURS = re.compile(
    r"(SECRET_KEY|ENCRYPTION_KEYS|DATABASE_URL|REDIS_URL|SMTP_\w+|SLACK_WEBHOOK_URL|HEARTBEAT_URL)(_FILE)?"
)


class CopyFailed(Exception):
    """`str()` is a sentence for the page's people: no path, no output of the command."""


def root() -> Path | None:
    """The operator's folder; None: no copies are written."""
    named = getattr(settings, "PUBLISH_FOLDER", "")
    return Path(named) if named else None


def folder_of(page: Page) -> Path:
    """Where this page's copy lies. CopyFailed when that is nowhere below the operator's folder."""
    base = root()
    if base is None:
        raise CopyFailed("No folder is set up for copies: PUBLISH_FOLDER is empty.")
    parts = page.publish_folder.split("/")
    if not page.publish_folder or not all(PART.fullmatch(part) for part in parts):
        raise CopyFailed("The folder's name must be plain words, as acme or acme/status.")
    folder = base.joinpath(*parts)
    if not folder.resolve().is_relative_to(base.resolve()):
        raise CopyFailed("The folder leads out of the one that is set up for copies.")
    return folder


def files_of(front: Front) -> dict[str, bytes]:
    """{path: content} of a whole copy; an address that ends in a slash is the `index.html` there."""
    found = {}
    for address in front.addresses():
        file = front.file(address)
        if file is not None:
            found[f"{address}index.html" if address == "" or address.endswith("/") else address] = file.content
    return found


def write(folder: Path, files: Mapping[str, bytes]) -> int:
    """Make the folder hold these files; returns how many were written or taken away. What is the same stays untouched."""
    folder.mkdir(parents=True, exist_ok=True)
    before = _listed(folder)
    # Noted before anything is written: a copy that was interrupted is cleaned up by the next one.
    _replace(folder / LISTING, json.dumps(sorted(before | files.keys())).encode())
    changed = 0
    for name in sorted(files, key=lambda one: (one == "index.html", one)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != files[name]:
            _replace(path, files[name])
            changed += 1
    changed += _take_away(folder, before - files.keys())
    _replace(folder / LISTING, json.dumps(sorted(files)).encode())
    return changed


def withdraw(folder: Path) -> int:
    """Take a copy away; returns how many files it had."""
    gone = _take_away(folder, _listed(folder)) if folder.is_dir() else 0
    (folder / LISTING).unlink(missing_ok=True)
    return gone


def _take_away(folder: Path, names: set[str]) -> int:
    gone = 0
    for name in names:
        path = folder / name
        if path.is_file():
            path.unlink()
            gone += 1
        if path.parent != folder and path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()
    return gone


def _listed(folder: Path) -> set[str]:
    try:
        names = json.loads((folder / LISTING).read_bytes())
    except (OSError, ValueError):
        return set()
    return {n for n in names if isinstance(n, str) and all(PART.fullmatch(part) for part in n.split("/"))}


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def carry(folder: Path, command: Sequence[str] | None = None, seconds: float = COMMAND_SECONDS) -> None:
    """Run the operator's command on a folder, if there is one. CopyFailed when it fails or takes too long."""
    command = getattr(settings, "PUBLISH_COMMAND", []) if command is None else command
    if not command:
        return
    environment = {k: v for k, v in os.environ.items() if not OURS.fullmatch(k)}
    with tempfile.TemporaryFile() as said:
        try:
            running = subprocess.Popen(
                [*command, str(folder)], stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment, start_new_session=True
            )  # fmt: skip
        except OSError as error:
            log.error("the command for copies could not be started: %s", error.strerror)
            raise CopyFailed(
                "The command that carries copies away could not be started; the portal's log says why."
            ) from None
        try:
            code = running.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            raise CopyFailed(
                f"The command that carries copies away took longer than {seconds:.0f} s and was ended."
            ) from None
        if code:
            said.seek(max(0, said.tell() - 2000))
            log.error(
                "the command for copies ended with %s: %s",
                code,
                redact(said.read(2000).decode("utf-8", "replace")).strip(),
            )
            raise CopyFailed(f"The command that carries copies away ended with {code}; the portal's log says more.")


# --- One page -------------------------------------------------------------------------------------------------------------
def may_be_copied(page: Page) -> bool:
    """Only what everybody may read leaves the portal."""
    return page.enabled and page.visibility == Page.Visibility.PUBLIC and bool(page.publish_folder)


def due(page: Page, digest: str, at: datetime) -> bool:
    """Is a copy to be written (or taken away) now?"""
    if not may_be_copied(page):
        return bool(page.published_digest) and (not page.publish_error or _ago(page, at, AFTER_TROUBLE))
    if not digest:
        return False
    if page.publish_error:
        return _ago(page, at, AFTER_TROUBLE)
    return page.published_digest != digest or _ago(page, at, AGAIN)


def _ago(page: Page, at: datetime, span: timedelta) -> bool:
    return page.published_at is None or page.published_at <= at - span


def publish(page: Page, at: datetime) -> str:
    """Write the page's copy (or take it away) and carry it; notes on the page how that went and returns the trouble, if any.

    Two processes at once: the row's time is claimed, one of them does it.
    """
    if not Page.objects.filter(pk=page.pk, published_at=page.published_at).update(published_at=at):
        return ""
    projection = page.projection
    digest, trouble = "", ""
    try:
        folder = folder_of(page)
        if may_be_copied(page):
            write(folder, files_of(Front.of(page, projection.body, projection.built_at or at, projection.digest)))
            digest = projection.digest
        elif folder.is_dir():
            withdraw(folder)
        if folder.is_dir():
            carry(folder)
    except CopyFailed as error:
        trouble = str(error)
    except OSError as error:
        log.error("the copy of page %s could not be written: %s", page.slug, error)
        trouble = f"The copy could not be written ({error.strerror or 'unknown reason'}); the portal's log says more."
    Page.objects.filter(pk=page.pk).update(
        published_digest=page.published_digest if trouble else digest, publish_error=trouble[:300]
    )
    return trouble
