"""Secrets at rest: sealed in the database, masked in memory, opened only where they are used, with keys that rotate."""

from __future__ import annotations

import json

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.db import connection

from monitors.models import Monitor
from portal.secrets import MASK, CannotOpen, Sealed
from tests.monitors import rows

CANARY = "hunter2-canary"


def test_a_seal_shows_nothing_and_opens_to_what_was_put_in():
    sealed = Sealed.of({"password": CANARY, "ü": [1, None]})
    assert sealed.open() == {"password": CANARY, "ü": [1, None]}
    assert str(sealed) == repr(sealed) == f"{sealed}" == MASK and CANARY not in sealed.token and bool(sealed)
    assert Sealed.of(sealed) is sealed


@pytest.mark.parametrize("nothing", [None, "", {}, []])
def test_nothing_needs_no_seal(nothing):
    assert not Sealed.of(nothing) and Sealed.of(nothing).open() == {} and str(Sealed.of(nothing)) == "(none)"


def test_keys_rotate(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    sealed = Sealed.of(CANARY)
    settings.ENCRYPTION_KEYS = [new, old]
    turned = sealed.rotated()
    assert sealed.open() == turned.open() == CANARY and turned != sealed
    settings.ENCRYPTION_KEYS = [new]
    assert turned.open() == CANARY
    with pytest.raises(CannotOpen, match="ENCRYPTION_KEYS lacks the key") as refused:
        sealed.open()
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("token", ["garbage", "gAAAAA", "☃"])
def test_a_damaged_token_says_so(token):
    with pytest.raises(CannotOpen):
        Sealed(token).open()


@pytest.mark.django_db
def test_the_database_and_every_print_of_a_row_hold_no_secret():
    url = {
        "url": "http://127.0.0.1:9/",
        "auth": "basic",
        "user": "ana",
        "password": CANARY,
        "headers": {"X-Key": CANARY},
    }
    m = rows.monitor(config=url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM monitors_monitor")
        assert CANARY not in repr(cursor.fetchall())
        cursor.execute("SELECT * FROM portal_auditentry")
        assert CANARY not in repr(cursor.fetchall())
    stored = Monitor.objects.get(pk=m.pk)
    assert stored.secrets.open()["password"] == CANARY and "password" not in stored.config
    assert CANARY not in serializers.serialize("json", [stored]) and CANARY not in repr(vars(stored))
    assert json.loads(serializers.serialize("json", [stored]))[0]["fields"].get("secrets", MASK) == MASK


@pytest.mark.django_db
def test_one_row_that_no_key_opens_does_not_spoil_the_list():
    good, bad = rows.monitor(name="good"), rows.monitor(name="bad")
    Monitor.objects.filter(pk=bad.pk).update(secrets=Sealed("gAAAAAbroken"))
    rows_found = {m.name: m for m in Monitor.objects.all()}
    assert rows_found["good"].secrets.open() == {} and good.pk
    with pytest.raises(CannotOpen):
        rows_found["bad"].secrets.open()
