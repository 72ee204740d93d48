"""What do the checks' tests share? An authority that the checks trust, for the length of one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitors.checks import connection, datagram
from portal.outbound import http
from tests.rig.certificates import Authority


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """The test authority, trusted as an operator would make it: by SSL_CERT_FILE."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trust(tmp_path)))
    _forget()
    yield authority
    _forget()


def _forget() -> None:
    connection.verifying_context.cache_clear()
    clear = getattr(http.default_bundle, "cache_clear", None)
    if clear:
        clear()


@pytest.fixture
def unhurried_datagrams(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine more than a blink is needed to tell "nothing that made sense came" before the time is up."""
    monkeypatch.setattr(datagram, "MARGIN", 0.4)
