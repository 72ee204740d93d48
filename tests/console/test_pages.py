"""The pages: what each shows to whom, that its forms work without scripts, and that it costs the same with 3 rows and with 30."""

from __future__ import annotations

import pytest
from django.test import Client as Browser

from tests import cast
from tests.console import scene

pytestmark = pytest.mark.django_db

LISTS = ("/", "/monitors/", "/alerts/", "/incidents/", "/deliveries/", "/channels/", "/triggers/", "/silences/", "/clients/")


def browser(user) -> Browser:
    """Somebody signed in."""
    found = Browser()
    found.force_login(user)
    return found


@pytest.mark.parametrize("path", [*LISTS, "/search/?q=shop", "/monitors/add/", "/monitors/add/?kind=heartbeat", "/incidents/add/", "/silences/add/", "/channels/add/", "/channels/add/?type=webhook", "/triggers/add/"])
@pytest.mark.parametrize("who", ["owner", "alice"])
def test_every_page_opens(path, who):
    scene.outage()
    user = cast.make_owner() if who == "owner" else cast.alice()
    assert browser(user).get(path).status_code == 200
