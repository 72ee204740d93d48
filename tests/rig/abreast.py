"""What if several do it at the same moment? Threads that start together, each with a database connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

T = TypeVar("T")


def abreast(work: Callable[[int], T], threads: int) -> list[T]:
    """The results of work(0), work(1), …, begun together; the first exception of any of them is raised."""
    start = threading.Barrier(threads)

    def one(number: int) -> T:
        try:
            start.wait(60)
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return [f.result() for f in [pool.submit(one, n) for n in range(threads)]]
