"""Where does a test get a database with all its tables? Migrated once for a whole run, by the product's own command, then copied.

A file for SQLite and a stopped PostgreSQL's directory, both in the folder that GROUND names. Whoever comes first makes
them; the others wait at a lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.rig.postgres import Postgres

GROUND = "WATCHKEEPER_TEST_GROUND"  # the folder; whoever sets it removes it when nobody needs it any more
DATABASE = "ground"  # the migrated database's name in a PostgreSQL that stands on this ground
ROOT = Path(__file__).resolve().parents[2]


def sqlite(to: Path, environment: Mapping[str, str]) -> Path:
    """A migrated, otherwise empty SQLite file at `to`. `environment`: what `manage.py migrate` runs in, if it has to."""
    with _made_once("sqlite") as folder:
        made = folder / "migrated.sqlite3"
        if not made.exists():
            migrate(f"sqlite://{folder}/new.sqlite3", folder, environment)
            (folder / "new.sqlite3").rename(made)
    shutil.copyfile(made, to)
    return to


def cluster(environment: Mapping[str, str]) -> Path:
    """A directory from which `Postgres(ground=…)` starts with the migrated database DATABASE in it."""
    with _made_once("postgres") as folder:
        made = folder / "cluster"
        if not made.exists():
            with Postgres() as server:
                migrate(server.create_database(DATABASE), folder, environment)
                server.stop()
                server.copy_data(folder / "new")
            (folder / "new").rename(made)
    return made


def migrate(url: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Make the tables. RuntimeError with what the command said when it fails."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "migrate", "--no-input", "-v", "0"],
        env={**environment, "DATABASE_URL": url, "DATA_DIR": str(folder / "data")}, cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"migrate failed: {(done.stderr or done.stdout)[-2000:]}")


@contextmanager
def _made_once(name: str) -> Iterator[Path]:
    """The folder, and nobody else making the same in it meanwhile."""
    folder = Path(os.environ[GROUND])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
