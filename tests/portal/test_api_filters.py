"""Does a filter tell a caller which ids belong to somebody else?"""

import pytest

from tests import cast

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["sites", "services", "contacts", "contact-groups", "tokens", "audit-log"])
def test_a_foreign_id_and_an_unknown_one_are_answered_alike(path):
    caller, foreign = cast.api(cast.alice()), cast.globex().pk
    answers = [caller.get(f"/api/v1/{path}?client={number}") for number in (foreign, 999_999)]
    assert [a.status_code for a in answers] == [200, 200]
    assert answers[0].json()["results"] == answers[1].json()["results"] == []


def test_a_number_no_database_holds_is_a_clear_refusal():
    for path in ("sites", "audit-log"):
        assert cast.api(cast.alice()).get(f"/api/v1/{path}?client={'9' * 30}").status_code == 400
