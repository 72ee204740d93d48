"""How does a probe get onto a machine? As one file: `make probe` writes build/watchkeeper-probe, which unpacks itself and runs.

Inside are this program's own files (found by asking Python what it loads) and the libraries it needs, installed from the
locked list with `pip install --target`. Some of those are compiled, so the file fits this platform and this version of Python.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHOLE = ("monitors/checks", "monitors/probe", "portal/outbound")  # also what they load only when it is needed
HEAD = """#!/bin/sh
# watchkeeper-probe @VERSION@ for Python @PYTHON@ on @PLATFORM@: unpacks itself once, then runs. Usage: watchkeeper-probe --help
# PYTHON chooses the interpreter, WATCHKEEPER_PROBE_HOME where it unpacks.
set -eu
if [ "${1:-}" = --version ]; then echo "watchkeeper-probe @VERSION@ (Python @PYTHON@, @PLATFORM@)"; exit 0; fi
fits='import sys, sysconfig; sys.exit((sys.version_info[:2] != (@TUPLE@)) or sysconfig.get_platform() != "@PLATFORM@")'
python=
for each in "${PYTHON:-}" python@PYTHON@ python3 python; do
  if [ -n "$each" ] && command -v "$each" >/dev/null 2>&1 && "$each" -c "$fits" 2>/dev/null; then python=$each; break; fi
done
if [ -z "$python" ]; then
  echo "watchkeeper-probe needs Python @PYTHON@ on @PLATFORM@. Install it, or set PYTHON=/path/to/python@PYTHON@, or build the file here: make probe" >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then base=/opt/watchkeeper-probe; else base="${XDG_CACHE_HOME:-$HOME/.cache}/watchkeeper-probe"; fi
home="${WATCHKEEPER_PROBE_HOME:-$base}/@HASH@"
if [ ! -f "$home/complete" ]; then
  mkdir -p "${home%/*}"
  fresh=$(mktemp -d "${home%/*}/.unpack.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  tail -n +@LINES@ "$0" | "$python" -c 'import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz").extractall(sys.argv[1])' "$fresh"
  chmod 755 "$fresh"
  touch "$fresh/complete"
  mv "$fresh" "$home" 2>/dev/null || [ -f "$home/complete" ]
  trap - EXIT
  rm -rf "$fresh"
fi
PYTHONPATH="$home" PYTHONNOUSERSITE=1 exec "$python" -m monitors.probe.main "$@"
"""


def ours() -> list[str]:
    """The files of ours that the program needs, relative to the root."""
    code = (
        "import json, sys, monitors.probe.main\n"
        "assert not {'django', 'celery'} & set(sys.modules)\n"
        "print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('monitors', 'portal') and m.__file__]))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    loaded = {Path(name).relative_to(ROOT) for name in json.loads(said)}
    return sorted(str(p) for p in loaded | {p.relative_to(ROOT) for d in WHOLE for p in (ROOT / d).rglob("*.py")})


def needed(wanted: list[str]) -> set[str]:
    """These distributions and all they require here, by normal name."""
    found: set[str] = set()
    while wanted:
        text = wanted.pop()
        name = re.sub(r"[-_.]+", "-", re.split(r"[\s;<>=!~\[(]", text, maxsplit=1)[0]).lower()
        if name in found or "extra ==" in text:
            continue
        try:
            more = requires(name) or []
        except PackageNotFoundError:  # for another platform
            continue
        found.add(name)
        wanted += more
    return found


def locked(names: set[str]) -> str:
    """Their blocks in the locked list, with hashes."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements/run.txt").read_text())
    kept = [b for b in blocks if re.sub(r"[-_.]+", "-", re.split(r"[\s=\[]", b, maxsplit=1)[0]).lower() in names]
    if len(kept) < len(names):
        raise SystemExit("requirements/run.txt lacks some of what a probe needs: run `make lock`")
    return "\n".join(kept) + "\n"


def main() -> int:
    """Build it; the path is printed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "list.txt").write_text(locked(needed(list(project["dependencies"]))))
        subprocess.run(
            [
                sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile",
                "--target", str(place / "lib"), "-r", str(place / "list.txt"),
            ],
            check=True,
        )  # fmt: skip
        payload = pack(place / "lib")
        starts(payload, place / "try")
    target = ROOT / "build" / "watchkeeper-probe"
    target.parent.mkdir(exist_ok=True)
    head = HEAD
    for mark, value in {
        "VERSION": project["version"], "PYTHON": f"{sys.version_info[0]}.{sys.version_info[1]}", "TUPLE": f"{sys.version_info[0]}, {sys.version_info[1]}",
        "PLATFORM": sysconfig.get_platform(), "HASH": hashlib.sha256(payload).hexdigest()[:16], "LINES": str(HEAD.count("\n") + 1),
    }.items():  # fmt: skip
        head = head.replace(f"@{mark}@", value)
    target.write_bytes(head.encode() + payload)
    target.chmod(0o755)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1e6:.1f} MB")
    return 0


def pack(libraries: Path) -> bytes:
    """Everything as one tar.gz; the same input gives the same bytes."""
    files = [(p, str(p.relative_to(libraries))) for p in sorted(libraries.rglob("*")) if p.is_file() and "tests" not in p.relative_to(libraries).parts[1:-1] and p.parts[-2:-1] != ("bin",)]  # fmt: skip
    files += [(ROOT / name, name) for name in ours()]
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for path, name in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o755 if path.suffix == ".so" else 0o644
            with path.open("rb") as file:
                tar.addfile(entry, file)
    return gzip.compress(raw.getvalue(), 9, mtime=0)


def starts(payload: bytes, place: Path) -> None:
    """Does it run from what is inside alone? SystemExit when a library is missing from the base dependencies."""
    with tarfile.open(fileobj=io.BytesIO(payload), mode="r:gz") as tar:
        tar.extractall(place, filter="data")
    code = f"import sys; sys.path.insert(0, {str(place)!r}); from monitors.probe.main import main; main(['--help'])"
    tried = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=place, capture_output=True, text=True)
    if tried.returncode:
        raise SystemExit(
            f"The packed program does not start: {tried.stderr.strip().splitlines()[-1]}\nIs it in [project] dependencies?"
        )


if __name__ == "__main__":
    sys.exit(main())
