"""Do those who put a client back and those who delete it for good, at the same moment, leave one outcome each?"""

from __future__ import annotations

import pytest
from django.db import connection

from monitors.models import Monitor
from portal import leaving, services, trash
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Client, TrashEntry
from tests import cast
from tests.console import scene
from tests.incidents.races import Hands

ROUNDS = 6


@pytest.mark.django_db(transaction=True)
def test_a_client_comes_back_or_goes_for_good_and_never_both():
    if connection.vendor != "postgresql":
        pytest.skip("once: SQLite has one writer at a time")
    with Hands() as four:
        for n in range(ROUNDS):
            client = services.create_client(name=f"Client {n}", by=cast.TESTS)
            monitor = scene.monitor(client, f"shop {n}")
            services.delete_client(client, by=cast.TESTS)
            entry = TrashEntry.objects.get()

            def work(hand: int, entry: TrashEntry = entry) -> str:
                at = database_now()
                try:
                    if hand == 0:
                        leaving.settle(at)
                        return "looked"
                    if hand == 1:
                        trash.purge(entry, by=cast.TESTS, at=at)
                        return "gone"
                    trash.put_back(entry, by=cast.TESTS, at=at)
                    return "back"
                except Refused:
                    return "too late"

            said = sorted(four.together(work))
            assert said.count("too late") == 2 and not TrashEntry.objects.exists(), said
            there = Client.objects.filter(pk=client.pk).exists()
            assert there == ("back" in said) and Client._base_manager.filter(pk=client.pk).exists() == there
            assert Monitor.objects.filter(pk=monitor.pk, enabled=True, views__active=True).exists() == there
