"""What is configured now? Rows as items of a document: without ids, without secrets, without what goes without saying."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.exceptions import ValidationError

from console.configuration import hand
from console.configuration.forms import Showing
from console.configuration.kinds import KINDS, Kind
from console.configuration.references import Index, Key
from console.configuration.secret import Names, leaves
from console.configuration.writing import text_of

VERSION = 1
ALL = "all"
AT_ONCE = 500  # rows of one query
HEADING = """Configuration of a Watchkeeper installation, as it was when this was written.
Secrets are named, not written: `apply` takes them from environment variables of these names."""


class Rows:
    """The rows of every kind, as a file shows them."""

    def __init__(self) -> None:
        self.index = Index()
        self._views = {section: hand.view_of(kind.resource) for section, kind in KINDS.items()}
        self._readers: dict[str, Any] = {}

    def view(self, kind: Kind) -> Any:
        """The API's resource for a kind."""
        return self._views[kind.section]

    def show(self, kind: Kind, row: Any, key: Key) -> dict[str, Any]:
        """A row's fields as they stand in a file, without its client."""
        if kind.section not in self._readers:  # its fields cost more to build than a row to read
            self._readers[kind.section] = hand.shown(self.view(kind).get_serializer(), kind.body_fields)
        body = self._readers[kind.section].to_representation(row)
        return kind.fields.show(body, Showing(self.index, key.client, row))

    def load(self, kind: Kind, ids: Iterable[int]) -> Iterator[Any]:
        """The rows with these ids, as far as they are configuration."""
        wanted = sorted(ids)
        for start in range(0, len(wanted), AT_ONCE):
            yield from kind.rows(self.view(kind)).filter(pk__in=wanted[start : start + AT_ONCE])

    def keys(self, kind: Kind, clients: list[str] | None) -> dict[int, Key]:
        """{id: key} of a kind's rows, of these clients (None: all, and ours)."""
        table = self.index.table(kind.section).keys
        return {pk: key for pk, key in table.items() if clients is None or key.client in clients}

    def written(self, kind: Kind, key: Key, values: dict[str, Any]) -> dict[str, Any]:
        """An item as it is written: whose, what, which, and its fields."""
        whose = {"client": key.client} if kind.owner != "itself" and key.client is not None else {}
        name = {kind.name: values[kind.name]}
        nth = {"nth": key.nth} if key.nth > 1 else {}
        return {**whose, **name, **nth, **{n: v for n, v in values.items() if n != kind.name}}

    def document(self, clients: list[str] | None) -> dict[str, Any]:
        """The whole document of these clients (None: of everybody, and ours). ValidationError for an unknown slug."""
        for slug in clients or ():
            if self.index.client(slug) is None:
                raise ValidationError(f"There is no client with the slug {slug}.")
        names, found = Names(), dict[str, Any](version=VERSION, covers=ALL if clients is None else list(clients))
        for section, kind in KINDS.items():
            keys = self.keys(kind, clients)
            items = [(keys[row.pk], row) for row in self.load(kind, keys)]
            items.sort(key=lambda pair: (pair[0].client or "", pair[0].name, pair[0].nth))
            found[section] = [self.written(kind, key, self._named(kind, row, key, names)) for key, row in items]
        return found

    def _named(self, kind: Kind, row: Any, key: Key, names: Names) -> dict[str, Any]:
        values = self.show(kind, row, key)
        for path, secret in leaves(values):
            words = [part for part in path if part != "config"]
            secret.name = names.give(
                *([key.client] if key.client and kind.owner != "itself" else []),
                kind.noun,
                str(Key(None, key.name, key.nth)),
                *words,
            )
        return values


def export(clients: list[str] | None = None) -> str:
    """The document as text."""
    return text_of(Rows().document(clients), heading=HEADING)
