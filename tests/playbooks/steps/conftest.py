"""Which name server do tests of DNS steps change? One of their own, with its first records before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.playbooks.steps.knot import Knot, Line
from tests.rig.process import NotAvailable


@pytest.fixture(scope="module")
def server() -> Iterator[Knot]:
    try:
        with Knot() as running:
            yield running
    except NotAvailable as why:
        pytest.skip(f"NOT RUN: {why}")


@pytest.fixture
def knot(server: Knot) -> Knot:
    """The server with its first records, whatever the test before did."""
    names = ("www A", "both A", "six AAAA", "alias CNAME", "new A", "new CNAME")
    there = [name for name in names if server.holds(*name.split()) != ([], None)]
    fresh = ("www 300 A 192.0.2.10", "both 120 A 192.0.2.10", "both 120 A 192.0.2.11", "six 300 AAAA 2001:db8::10", "alias 600 CNAME www")  # fmt: skip
    server.edit(*(f"unset {name}" for name in there), *(f"set {record}" for record in fresh))
    return server


@pytest.fixture
def line(knot: Knot) -> Iterator[Line]:
    with Line(knot) as open_line:
        yield open_line
