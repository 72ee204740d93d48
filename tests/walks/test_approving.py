"""A repair waits for a client's word: can their approver give it by keys, without scripts, with a phone? (By mouse: tests/playbooks.)"""

from __future__ import annotations

import pytest

from playbooks.models import Run
from tests import cast
from tests.playbooks import acting
from tests.playbooks.conftest import bell  # noqa: F401 - a fixture
from tests.playbooks.test_approving import waits_for
from tests.portal import an_app
from tests.walks.walker import KEYS, PHONE, PLAIN, Walker

soak = pytest.mark.soak
pytestmark = pytest.mark.once


@pytest.mark.parametrize("manner", [KEYS, pytest.param(PLAIN, marks=soak), pytest.param(PHONE, marks=soak)])
def test_a_clients_approver_reads_what_would_happen_and_allows_it(chromium, portal, bell, manner):  # noqa: F811
    april = cast.approver()
    an_app.give_app(april)
    scene, run = waits_for(april, bells=("front", "back"), name="Ring the bells of the shop")
    walker = Walker(chromium, portal, manner, april)
    walker.goes("/approvals/").reads("Waiting for you").follows("and decide")
    walker.reads("Ring the bell “front”.").reads("Do you allow it?")
    walker.types("Code of your authenticator", an_app.shown()).presses("Approve").reads("Approved, about to start")
    acting.carried_out(run, scene.well)
    if manner == PLAIN:
        walker.follows("Show it as it is now")
    walker.page.wait_for_selector("h1 >> text=Succeeded")
    walker.looks().done()
    assert Run.objects.get().approvals.get().user == april
