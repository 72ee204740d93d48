"""What may a test see of the machine's settings? Nothing: a data directory of its own, test keys, the chosen database.

Set before Django reads its settings. pytest-xdist's workers inherit it, so all of them share one PostgreSQL server.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from cryptography.fernet import Fernet

from tests.rig import ground, postgres

HOME = "WATCHKEEPER_TEST_HOME"  # set once prepared: workers and programs started by a test find it and change nothing
DATABASE = "WATCHKEEPER_TEST_DB"
SERVER = "WATCHKEEPER_TEST_SERVER"  # URL of the shared server's maintenance database
SQLITE, POSTGRES = "sqlite", "postgres"

# Empty is said out loud, so that neither the shell nor a .env file can put a real address in its place.
PLAIN = {
    **dict.fromkeys(
        ("TRUSTED_PROXIES", "OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_NAME", "OIDC_MFA"), ""
    ),
    "OIDC_REQUIRE": "off",
    "BASE_URL": "http://localhost:8000",
    "DATABASE_URL": "",
    "REDIS_URL": "",
    "OUTBOUND_ALLOW": "127.0.0.0/8,::1/128",
    "SMTP_HOST": "",
    "SMTP_PORT": "25",
    "SMTP_USER": "",
    "SMTP_PASSWORD": "",
    "SMTP_FROM": "",
    "SMTP_TLS": "none",
    "PUBLISH_FOLDER": "",
    "PUBLISH_COMMAND": "",
    "PUBLISH_BUCKET": "",
    "ACTION_SIGNING_KEY": "",
    "ACTION_PUBLIC_KEY": "",
    "PUBLISH_S3_ENDPOINT": "",
    "PUBLISH_S3_REGION": "",
    "PUBLISH_S3_KEY_ID": "",
    "PUBLISH_S3_SECRET": "",
    "SLACK_WEBHOOK_URL": "",
    "HEARTBEAT_URL": "",
    "AUDIT_HEADS": "",
    "ALLOWED_HOSTS": "",
    "DIAGNOSIS": "off",  # what a failure starts by itself; tests of diagnosis turn it on
    "DIAGNOSIS_RESOLVERS": "",
    "AS_TABLE": "",
    "SECRET_KEY": "for-tests-only-" + "0123456789abcdef" * 4,
}


def chosen() -> str:
    """`sqlite` or `postgres`. ValueError for anything else."""
    name = os.environ.get(DATABASE) or SQLITE
    if name not in (SQLITE, POSTGRES):
        raise ValueError(f"{DATABASE}={name!r} is neither {SQLITE} nor {POSTGRES}")
    return name


def prepare() -> None:
    """Set the environment and start what it names. NotAvailable when PostgreSQL is asked for and there is none."""
    if HOME in os.environ:
        return
    database = chosen()
    home = tempfile.mkdtemp(prefix="watchkeeper-test-")
    os.environ.setdefault(ground.GROUND, home)  # a run of several passes brings one for all of them
    os.environ[HOME] = home
    atexit.register(_clear, home, os.getpid())  # also when the settings or an app fail to load
    for name, value in PLAIN.items():
        os.environ.pop(f"{name}_FILE", None)
        os.environ[name] = value
    os.environ.pop("ENCRYPTION_KEYS_FILE", None)
    os.environ["ENCRYPTION_KEYS"] = Fernet.generate_key().decode()
    os.environ["DATA_DIR"] = os.path.join(home, "data")
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    if database == POSTGRES:
        server = postgres.shared(ground.cluster(for_programs()))
        os.environ[SERVER] = server.url()
        os.environ["DATABASE_URL"] = server.create_database("watchkeeper")


def for_programs(**more: str) -> dict[str, str]:
    """What a program that a test starts may see: the tests' keys, no addresses of anything, nothing else of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", ground.GROUND) if name in os.environ}
    own = {**PLAIN, "ENCRYPTION_KEYS": os.environ["ENCRYPTION_KEYS"], "SECRET_KEY": os.environ["SECRET_KEY"]}
    return {**kept, **own, "DJANGO_SETTINGS_MODULE": "portal.settings", "PYTHONUNBUFFERED": "1", **more}


def _clear(home: str, owner: int) -> None:
    """Stop and remove what `prepare` made; a forked child that exits leaves it alone."""
    if os.getpid() == owner:
        postgres.close_shared()
        shutil.rmtree(home, ignore_errors=True)
