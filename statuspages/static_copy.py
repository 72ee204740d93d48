"""How does a page outlive the portal? As plain files in a folder or a bucket, written at each change.

Where copies go is the operator's word: `PUBLISH_FOLDER` is the folder below which every copy lies, `PUBLISH_COMMAND` (rsync,
rclone, aws s3 sync …) is run with a copy's folder as its last argument, `PUBLISH_BUCKET` is an S3-compatible bucket; none
can be set from a page. Only pages for everybody are written. Each file is replaced whole, the first page last; what is not
in the newest copy is taken away, and of other files nothing is touched. A page that is no longer for everybody, that moved
or that is gone altogether is taken away as well. One place's trouble does not keep the other from its copy.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings

from portal.logs import redact
from statuspages import bucket_copy, listing
from statuspages.bucket import SECONDS, BucketFailed
from statuspages.bucket_copy import NOTING, Places
from statuspages.front import Front
from statuspages.models import Page

log = logging.getLogger("watchkeeper.pages")

LISTING = listing.NAME
COMMAND_SECONDS = 120
AGAIN = timedelta(minutes=5)  # so that the time on a copy says that the portal lives
AFTER_TROUBLE = timedelta(minutes=1)
# In place of a digest: somebody writes just now, or died at it; nobody knows what is there.
BEING_WRITTEN, UNSURE = "being written", "unsure"
SURELY_OVER = timedelta(seconds=COMMAND_SECONDS + SECONDS + NOTING + 30)
# Of the environment, the command gets everything but what opens the portal itself.
OURS = re.compile(
    r"(SECRET_KEY|ENCRYPTION_KEYS|DATABASE_URL|REDIS_URL|SMTP_\w+|SLACK_WEBHOOK_URL|HEARTBEAT_URL|PUBLISH_S3_\w+)(_FILE)?"
)


class CopyFailed(Exception):
    """`str()` is a sentence for the page's people: no path, no output of the command."""


def root() -> Path | None:
    """The operator's folder; None: no copies are written."""
    named = getattr(settings, "PUBLISH_FOLDER", "")
    return Path(named) if named else None


def set_up() -> bool:
    """Are copies written at all?"""
    return root() is not None or bool(settings.PUBLISH_BUCKET)


def places_of(page: Page) -> list[str]:
    """Where this page's copy lies, for the operator to read."""
    found = [str(folder_of(page))] if root() is not None else []
    return [*found, f"{settings.PUBLISH_BUCKET.rstrip('/')}/{name_of(page)}"] if settings.PUBLISH_BUCKET else found


def name_of(page: Page) -> str:
    """The copy's name below the operator's folder and in the bucket. CopyFailed when it might lead elsewhere."""
    if not page.publish_folder or not listing.plain(page.publish_folder):
        raise CopyFailed("The folder's name must be plain words, as acme or acme/status.")
    return page.publish_folder


def folder_of(page: Page) -> Path:
    """Where this page's copy lies. CopyFailed when that is nowhere below the operator's folder."""
    base = root()
    if base is None:
        raise CopyFailed("No folder is set up for copies: PUBLISH_FOLDER is empty.")
    folder = base.joinpath(*name_of(page).split("/"))
    if not folder.resolve().is_relative_to(base.resolve()):
        raise CopyFailed("The folder leads out of the one that is set up for copies.")
    return folder


def files_of(front: Front) -> dict[str, bytes]:
    """{path: content} of a whole copy; an address that ends in a slash is the `index.html` there."""
    found = {}
    for address in front.addresses():
        file = front.file(address)
        if file is not None:
            found[bucket_copy.name_of(address)] = file.content
    return found


def write(folder: Path, files: Mapping[str, bytes], validators: Mapping[str, str] | None = None) -> int:
    """Make the folder hold these files; returns how many were written or taken away. What is the same stays untouched.

    The same is what has the same bytes, or the same validator as when it was written.
    """
    wanted = dict.fromkeys(files, "") | dict(validators or {})
    folder.mkdir(parents=True, exist_ok=True)
    before = _listed(folder)
    same = {n for n in files if wanted[n] and before.get(n) == wanted[n] and (folder / n).is_file()}
    # Noted before anything is written: a copy that was interrupted is cleaned up by the next one.
    noted = dict.fromkeys([*before, *files], "") | {name: wanted[name] for name in same}
    _replace(folder / LISTING, listing.encode(noted))
    changed = 0
    for name in sorted(files.keys() - same, key=lambda one: (one == "index.html", one)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != files[name]:
            _replace(path, files[name])
            changed += 1
    changed += _take_away(folder, before.keys() - files.keys())
    _replace(folder / LISTING, listing.encode({name: wanted[name] for name in files}))
    return changed


def withdraw(folder: Path) -> int:
    """Take a copy away; returns how many files it had."""
    gone = _take_away(folder, _listed(folder).keys()) if folder.is_dir() else 0
    (folder / LISTING).unlink(missing_ok=True)
    return gone


def _take_away(folder: Path, names: Iterable[str]) -> int:
    gone = 0
    for name in names:
        path = folder / name
        if path.is_file():
            path.unlink()
            gone += 1
        if path.parent != folder and path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()
    return gone


def _listed(folder: Path) -> Mapping[str, str]:
    try:
        return listing.decode((folder / LISTING).read_bytes()).files
    except OSError:
        return {}


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
    if page.published_digest == BEING_WRITTEN and not _ago(page, at, SURELY_OVER):
        return False
    if not may_be_copied(page):
        return bool(page.published_digest) and (not page.publish_error or _ago(page, at, AFTER_TROUBLE))
    if not digest:
        return False
    if page.publish_error:
        return _ago(page, at, AFTER_TROUBLE)
    return page.published_digest != digest or _ago(page, at, AGAIN)


def _ago(page: Page, at: datetime, span: timedelta) -> bool:
    return page.published_at is None or page.published_at <= at - span


def publish(page: Page, at: datetime, places: Places | None = None, *, whole: bool = False) -> str:
    """Write the page's copy (or take it away) and carry it; notes on the page how that went and returns the trouble, if any.

    Two processes at once: the row's time is claimed, one of them does it. `whole`: all files go into the bucket anew.
    """
    if places is None:
        with Places() as own:
            return publish(page, at, own, whole=whole)
    mine = Page.objects.filter(pk=page.pk, published_at=at)
    claim = Page.objects.filter(pk=page.pk, published_at=page.published_at)
    if not claim.update(published_at=at, published_digest=BEING_WRITTEN):
        return ""
    front = None
    if may_be_copied(page):
        kept = page.projection
        front = Front.of(page, kept.body, kept.built_at or at, kept.digest)

    def to_bucket() -> None:
        bucket = places.bucket()
        if bucket is None:
            return
        if front is None:
            bucket_copy.withdraw(bucket, name_of(page))
        else:
            bucket_copy.write(bucket, name_of(page), front, still=mine.exists, whole=whole)

    told = [_trouble(page, lambda: _to_folder(page, front)), _trouble(page, to_bucket)]
    trouble = " ".join(filter(None, told))[:300]
    before = UNSURE if page.published_digest == BEING_WRITTEN else page.published_digest
    mine.update(published_digest=before if trouble else page.projection.digest if front else "", publish_error=trouble)
    return trouble


def _to_folder(page: Page, front: Front | None) -> None:
    if root() is None:
        return
    folder = folder_of(page)
    if front is not None:
        write(folder, files_of(front), bucket_copy.validators(front))
    elif folder.is_dir():
        withdraw(folder)
    if folder.is_dir():
        carry(folder)


def _trouble(page: Page, work: Callable[[], None]) -> str:
    try:
        work()
    except (CopyFailed, BucketFailed) as error:
        return str(error)
    except OSError as error:
        log.error("the copy of page %s could not be written: %s", page.slug, error)
        return f"The copy could not be written ({error.strerror or 'unknown reason'}); the portal's log says more."
    return ""
