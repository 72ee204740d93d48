"""What does an install page tell somebody to type, and is each thing that it names there?"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"(?<![\w/.-])((?:deploy|docs|requirements)/[\w@./-]+|compose\.yaml|Dockerfile|\.env\.example)")
NAME = re.compile(r"^([A-Z][A-Z0-9_]{3,})=", re.M)


def blocks(page: str) -> list[str]:
    """The shell blocks of docs/<page>.md, in order, as they are written."""
    found = BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    return [block for kind, block in found if kind in ("", "sh")]


def files(page: str) -> set[str]:
    """Files of the source that the page names."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return {name.rstrip("./") for name in FILE.findall(text)}


def settings_in(text: str) -> set[str]:
    """Names that lines such as NAME=value set."""
    return set(NAME.findall(text))


def known_settings() -> set[str]:
    """Names that the portal reads: what settings.py and the commands ask the environment for."""
    code = "".join((ROOT / name).read_text() for name in ("portal/settings.py", "portal/running.py", "portal/management/commands/up.py"))  # fmt: skip
    asked = re.findall(r'env\.\w+\(\s*"([A-Z][A-Z0-9_]+)"|environ\.get\("([A-Z_]+)"', code)
    return {name for pair in asked for name in pair if name}
