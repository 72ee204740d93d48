"""Was this database made by a newer version? Then this code must not touch it: it does not know what the rows mean."""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from portal.errors import Refused


def refuse_newer() -> None:
    """Refused when the database has migrations that this code lacks; a database without tables is none."""
    why = newer(MigrationRecorder(connection).applied_migrations())
    if why:
        raise Refused(why)


def newer(applied: Iterable[tuple[str, str]]) -> str:
    """What is wrong with a database that has these (app, migration), in a sentence; "" when this code knows them all."""
    ours = {config.label for config in apps.get_app_configs()}
    known = set(MigrationLoader(None).disk_migrations)
    unknown = sorted(f"{app}.{name}" for app, name in applied if app in ours and (app, name) not in known)
    if not unknown:
        return ""
    more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    return (
        f"The database is newer than this version of the portal: it has {unknown[0]}{more}, which this version does not "
        "know. Start the newer version again, or restore a backup that this version made (manage.py restore --force FILE)."
    )
