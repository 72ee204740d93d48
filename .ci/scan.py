"""Does the tree hold what must not leave this machine? Private keys, tokens, machine paths, registry addresses in lock files.

Looks at every text file that git knows or would add. Exit code 1 and one line a finding. A line that must stay carries
the words `scan: allowed`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = "scan: allowed"
EVERYWHERE = {
    "a private key": re.compile(
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----(?:\\n|\s)*[A-Za-z0-9+/=]|-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\Z"
    ),
    "a machine path": re.compile(r"(?<![\w./-])/(?:work|root)/\w"),
    "an AWS key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
    "a Slack token": re.compile(r"\bxox[abprs]-[0-9]{8,}-[0-9A-Za-z-]{10,}"),
    "a Slack hook": re.compile(r"hooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{24}"),
    "a Watchkeeper token": re.compile(r"\bwk_[A-Za-z0-9_-]{40,}"),
}
# Tests name such addresses to see them refused.
OUTSIDE_TESTS = {
    "a password in an address": re.compile(
        r"\bhttps?://[^\s/:@<>\[{}$\"']+:[^\s/@<>\[{}$\"']{3,}@(?![\w.-]*\bexample\b|localhost|127\.|host\b)"
    ),
}
LOCK_FILES = re.compile(r"requirements/.*\.txt|.*\.lock|pylock.*\.toml")
IN_LOCK_FILES = {
    "an address in a lock file": re.compile(r"\w+://"),
    "an index option in a lock file": re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host"),
}


def tracked() -> Iterator[Path]:
    """Every file git knows, or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            yield path


def findings(name: str, text: str) -> Iterator[str]:
    """One sentence for each line that must not leave."""
    patterns = dict(EVERYWHERE)
    if LOCK_FILES.fullmatch(name):
        patterns |= IN_LOCK_FILES
    if not name.startswith("tests/"):
        patterns |= OUTSIDE_TESTS
    for number, line in enumerate(text.splitlines(), 1):
        if ALLOWED in line:
            continue
        for what, pattern in patterns.items():
            if pattern.search(line):
                yield f"{name}:{number}: {what}"


def strays(name: str) -> Iterator[str]:
    """Tests outside tests/ would never run."""
    path = Path(name)
    if path.name.startswith("test_") and path.suffix == ".py" and path.parts[0] != "tests":
        yield f"{name}: a test outside tests/ is never run; move it to tests/{path.parts[0]}/"


def main() -> int:
    """Say what was found."""
    if not (ROOT / ".git").exists():
        print("NOT RUN: this is not a git checkout, so nobody can say which files belong to it")
        return 0
    found: list[str] = []
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        found += strays(name)
        raw = path.read_bytes()
        if b"\0" not in raw[:4096]:
            found += findings(name, raw.decode("utf-8", "replace"))
    print("\n".join(found) if found else "nothing in the tree that must not leave")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
