"""Which test runs when, in which process, and on which database? By its file, so that no test has to know.

Tests that wait and tests that compute share the processors: two processes take those that wait, one after the other, and
the rest compute meanwhile.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).parent
# What these speak of is above the database (pages, tenancy's addresses) or below it (checks, probes): once is enough.
ONCE = (
    "checks", "console", "face", "outbound", "regions", "test_tenancy.py", "alerts/test_phrasing.py", "alerts/test_twoway_chat.py",
    "alerts/test_twoway_page.py", "alerts/test_twoway_telephone.py", "alerts/test_unsubscribe.py", "diagnosis/test_links.py", "monitors/test_hosts_page.py",
    "playbooks/steps/test_webhook_step.py", "portal/test_accessible.py", "portal/test_admin.py", "portal/test_admin_forms.py", "portal/test_coming_in.py",
    "portal/test_mfa_desk.py", "portal/test_mfa_fresh.py", "security", "statuspages/test_admin.py", "statuspages/test_feed.py", "statuspages/test_languages.py",
    "statuspages/test_public.py", "statuspages/test_static_copy.py", "walks", "matrix",
)  # fmt: skip
# Their statements are asked of both databases by other tests as well (each door, each list): on the second one, the soak
# repeats them. Whatever commits, races, locks or writes SQL of its own stays for every day.
AGAIN_IN_THE_SOAK = (
    "alerts/test_channel_api.py", "alerts/test_integration_api.py", "alerts/test_message_templates_api.py", "alerts/test_story.py", "diagnosis/test_batteries.py",
    "monitors/test_probe_rule.py", "monitors/test_templates.py", "playbooks/steps/test_ordering.py", "playbooks/steps/test_own_steps.py", "portal/test_people_pages.py",
    "statuspages/test_bounces.py", "statuspages/test_bucket.py", "statuspages/test_engine.py", "statuspages/test_private_feeds.py", "statuspages/test_projection.py",
    "statuspages/test_subscribers.py",
)  # fmt: skip
# Each waits for most of its time: for processes it started, for what must not answer, for seconds to pass.
WAITING = (
    "faults", "playbooks/test_probe_whole.py", "playbooks/test_crashes.py", "console/test_demo_second_act.py", "console/test_demo.py", "lab", "regions",
    "monitors/test_install.py", "monitors/test_remote_whole.py", "rig", "deploy", "portal/test_callers_address.py", "alerts/test_vendors.py", "alerts/test_apprise.py",
    "diagnosis", "statuspages/test_bucket.py", "outbound/test_http.py", "outbound/test_https.py", "outbound/test_http_reach.py", "monitors/test_prober.py", "checks",
)  # fmt: skip
# Each computes for long: begun late, one process would be at it when all others have done.
LONGEST = (
    "portal/test_accessible.py", "portal/test_commands.py", "test_roles.py", "test_tenancy.py", "portal/test_admin.py", "alerts/test_story.py", "alerts/test_outbox.py",
    "playbooks/test_races.py", "incidents/test_races.py", "incidents/test_joining.py", "playbooks/test_approving_browser.py", "playbooks/test_scanner.py",
    "portal/test_people_browser.py", "portal/test_mfa_passkeys.py", "console/test_browser.py", "walks", "security",
)  # fmt: skip
# One process does them one after the other: they look at one costly thing, or keep several processors busy each.
TOGETHER = {
    "diagnosis": ("test_names.py", "test_paths.py", "test_battery.py", "test_lan.py"),
    "faults": (
        "test_database_dies.py", "test_doubles.py", "test_escalation.py", "test_one_machine.py", "test_poison.py", "test_workers_die.py",
    ),
}  # fmt: skip
TURNS = WAITING + LONGEST
COMMITTING = frozenset({"transactional_db", "live_server"})
ALONE = re.compile(r"\bmark\.alone\b")


def arrange(items: list[pytest.Item]) -> None:
    """Mark whole files instead of each of their tests; those that take longest come first."""
    for item in items:
        if among(item.path, ONCE):
            item.add_marker(pytest.mark.once)
        if among(item.path, AGAIN_IN_THE_SOAK) and not _commits(item):
            item.add_marker(pytest.mark.again_in_the_soak)
    items.sort(key=lambda item: _turn(item.path))


def needless(path: Path, marks: str) -> bool:
    """Can no test of this file or folder be among those with these marks? Then it need not even be read."""
    if "not once" in marks and among(path, ONCE):
        return True
    measures = marks.startswith("alone") and path.suffix == ".py" and path.name.startswith("test_")
    return measures and not ALONE.search(path.read_text())


@functools.cache
def among(path: Path, places: Sequence[str]) -> bool:
    """Is this one of these files, or in one of these folders?"""
    inside = path.relative_to(HERE) if path.is_relative_to(HERE) else Path(path.name)
    return any(inside.is_relative_to(place) for place in places)


def _commits(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("django_db")
    fixtures = getattr(item, "fixturenames", ())
    return bool(mark and mark.kwargs.get("transaction")) or not COMMITTING.isdisjoint(fixtures)


@functools.cache
def _turn(path: Path) -> int:
    return next((n for n, place in enumerate(TURNS) if among(path, (place,))), len(TURNS))


class ByFile(LoadScopeScheduling):
    """A process takes one file after the other, in the order of collection; the first WAITERS begin with those that wait."""

    WAITERS = 2

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        directory, _, name = file.rpartition("/")
        return directory if name in TOGETHER.get(directory.rpartition("/")[2], ()) else file

    def _assign_work_unit(self, node: Any) -> None:
        waiter = len(self.nodes) > self.WAITERS and self.nodes.index(node) < self.WAITERS
        fitting = (scope for scope in self.workqueue if among(HERE.parent / scope, WAITING) is waiter)
        self.workqueue.move_to_end(next(fitting, next(iter(self.workqueue))), last=False)
        super()._assign_work_unit(node)
