"""How does a page's copy in a bucket become the newest one, without a reader ever meeting half of it?

What the bucket has is noted in a listing there. Only what differs is put: first what pages show, then the pages, `index.html`
last; then what is no longer part of the copy is taken away. The listing is written before the first file and after the
last, so that whatever interrupts this, the next run knows what it cannot be sure of.

Every page says as of when it is. A file that only this time would change stays as it is, here and in a folder; the first
page and `index.json` alone are written anew for it, since they say that the portal lives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from statuspages import listing
from statuspages.bucket import Bucket, BucketFailed, Object, target
from statuspages.front import HTML, File, Front

NEVER = datetime(2000, 1, 1, tzinfo=UTC)
LIVE = ("index.html", "index.json")
NOTING = 10.0  # s, for the note after the copy's own time is over
# No name of a copy carries a hash, so nothing may be kept for long; how it looks changes less often than what it says.
SHORT = "public, max-age=15, stale-while-revalidate=60, stale-if-error=86400"
LONGER = "public, max-age=600, stale-if-error=86400"
LASTING = ("text/css", "image/png", "image/jpeg", "image/webp", "image/gif")


class Places(ExitStack):
    """What one round of copies shares: the bucket, opened when it is first needed."""

    def __init__(self) -> None:
        super().__init__()
        self._open: Bucket | None = None

    def bucket(self) -> Bucket | None:
        """With its time for one copy; None: copies go into no bucket. BucketFailed when its settings are not whole."""
        where = target()
        if where is None:
            return None
        if self._open is None:
            self._open = self.enter_context(Bucket(where))
        self._open.begin()
        return self._open


def write(
    bucket: Bucket, folder: str, front: Front, *, still: Callable[[], bool] = lambda: True, whole: bool = False
) -> int:
    """Make the bucket's folder hold this page; returns how many files were put or taken away. BucketFailed.

    `still`: nobody has begun with something newer; asked between the waves. `whole`: put all, whatever is there.
    """
    note = f"{folder}/{listing.NAME}"
    before = listing.decode(bucket.get(note)).files
    wanted = validators(front)
    changed = [name for name in wanted if whole or before.get(name) != wanted[name]]
    gone = sorted(before.keys() - wanted.keys())
    if not changed and not gone:
        return 0
    there = {**before, **dict.fromkeys(changed, "")}
    _note(bucket, note, there)
    put = len(folder) + 1
    try:
        for wave in waves(changed, front):
            if not still():
                return 0
            things = [Object(f"{folder}/{name}", file.content, file.type, cache_of(file)) for name, file in wave]
            bucket.put(things, lambda name: there.update({name[put:]: wanted[name[put:]]}))
        if not still():
            return 0
        bucket.delete([f"{folder}/{name}" for name in gone], lambda name: there.pop(name[put:]))
    except BucketFailed:
        try:
            bucket.begin(NOTING)
            _note(bucket, note, there)  # so that the next run goes on where this one ended
        except BucketFailed:
            pass  # it puts a little more then
        raise
    _note(bucket, note, there)
    return len(changed) + len(gone)


def withdraw(bucket: Bucket, folder: str) -> int:
    """Take a copy away, the first page first; returns how many files it had."""
    note = f"{folder}/{listing.NAME}"
    kept = bucket.get(note)
    files = listing.decode(kept).files
    for names in ([n for n in LIVE if n in files], [n for n in files if n not in LIVE]):
        bucket.delete([f"{folder}/{name}" for name in names], lambda name: None)
    if kept is not None:
        bucket.delete([note], lambda name: None)
    return len(files)


def folders_of_ours(bucket: Bucket) -> Iterable[str]:
    """Where this portal has copies, as the bucket itself says."""
    ending = f"/{listing.NAME}"
    for name in list(bucket.names(ending)):
        folder = name.removesuffix(ending)
        if listing.plain(folder) and listing.decode(bucket.get(name)).ours:
            yield folder


def name_of(address: str) -> str:
    """The file of an address: one that ends in a slash is the `index.html` there."""
    return f"{address}index.html" if address == "" or address.endswith("/") else address


def address_of(name: str) -> str:
    """The other way round."""
    return name.removesuffix("index.html")


def validators(front: Front) -> dict[str, str]:
    """name -> what changes when a reader would be told anything else (LIVE: or the same at another time)."""
    timeless = replace(front, as_of=NEVER, files={})
    found = {}
    for address in front.addresses():
        name = name_of(address)
        file = (front if name in LIVE else timeless).file(address)
        if file is not None:
            head = f"{file.type}\n{cache_of(file)}\n".encode()
            found[name] = hashlib.sha256(head + file.content).hexdigest()[:32]
    return found


def cache_of(file: File) -> str:
    """For how long may readers keep it?"""
    return LONGER if file.type.startswith(LASTING) else SHORT


def waves(names: Iterable[str], front: Front) -> list[list[tuple[str, File]]]:
    """What is put together, in this order: what pages show; pages; those that all begins with."""
    found: list[list[tuple[str, File]]] = [[], [], []]
    for name in names:
        file = front.file(address_of(name))
        if file is not None:
            found[2 if name in LIVE else 1 if file.type == HTML else 0].append((name, file))
    return [wave for wave in found if wave]


def _note(bucket: Bucket, name: str, files: dict[str, str]) -> None:
    bucket.put([Object(name, listing.encode(files), "application/json", "no-store")], lambda _: None)
