"""How is a document written? As YAML that every reader understands alike, the same text for the same rows."""

from __future__ import annotations

from typing import Any

import yaml

from console.configuration.reading import TAGGED
from console.configuration.secret import Secret

WIDTH = 118


class _Dumper(yaml.SafeDumper):
    """Lists stand indented below their key; nothing is written as an alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def choose_scalar_style(self) -> Any:
        return "" if self.event.tag == TAGGED else super().choose_scalar_style()


def _secret(dumper: yaml.SafeDumper, secret: Secret) -> yaml.ScalarNode:
    return dumper.represent_scalar(TAGGED, secret.name)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    block = "\n" in text and not any(line != line.rstrip() for line in text.split("\n")) and "\t" not in text
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if block else None)


_Dumper.add_representer(Secret, _secret)
_Dumper.add_representer(str, _text)


def text_of(document: dict[str, Any], *, heading: str = "") -> str:
    """The document as YAML; `heading` are lines of comment on top."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in heading.splitlines())
    parts = [
        yaml.dump({key: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
        for key, value in document.items()
    ]
    return comment + "\n".join(parts)
