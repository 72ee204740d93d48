"""How is the database emptied after a test that committed? As Django does it, but the list of models and permissions stays.

It never changes while the tests run, and to work it out anew takes far longer than to empty all other tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import flush
from django.db.models.signals import post_migrate

STAYS = {"auth_permission", "django_content_type"}
BY_AUTH = "django.contrib.auth.management.create_permissions"


def statements(style: Any, connection: Any, **options: Any) -> list[str]:
    """The SQL that empties every table but those two; `django.core.management.sql.sql_flush` for the rest."""
    found = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return list(connection.ops.sql_flush(style, [name for name in found if name not in STAYS], **options))


@contextmanager
def models_and_permissions_stay() -> Iterator[None]:
    """Within it, `flush` neither takes them away nor makes them anew; the apps' own answers to `post_migrate` come as ever."""
    from django.contrib.auth.management import create_permissions  # it wants the settings, which this file comes before
    from django.contrib.contenttypes.management import create_contenttypes

    whole, flush.sql_flush = flush.sql_flush, statements
    permissions = post_migrate.disconnect(dispatch_uid=BY_AUTH)
    models = post_migrate.disconnect(create_contenttypes)
    assert permissions and models, "Django connects them in another way than this file knows"
    try:
        yield
    finally:
        flush.sql_flush = whole
        post_migrate.connect(create_contenttypes)
        post_migrate.connect(create_permissions, dispatch_uid=BY_AUTH)
