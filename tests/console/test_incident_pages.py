"""Incidents on their pages: found, corrected, merged, grouped and written up, without JavaScript, each client its own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents import parents, postmortems, services
from incidents.models import Incident, Postmortem, SlaReport
from portal.clock import database_now
from tests import cast
from tests.console import scene
from tests.console.visiting import browser, form_of, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def s():
    return scene.outage()


def another(of=None, name: str = "web") -> Incident:
    """A second open incident of the client."""
    m = scene.monitor(of, name, config={"url": f"https://{name}.acme.example/"})
    return Incident.objects.get(pk=scene.fail(m, database_now() - timedelta(minutes=2)).incident_id)


# --- The page and the list ---------------------------------------------------------------------------------------------------
def test_the_page_says_when_each_thing_was_and_how_that_is_known(s):
    services.acknowledge(s.incident, by=cast.TESTS, at=database_now(), name="ana")
    page = text(browser(cast.alice()).get(f"/incidents/{s.incident.pk}/"))
    assert "by the first failing check" in page and "said by a person" in page and "Mitigated not yet" in page
    assert "On status pages" in page and "Post-mortem" in page


def test_changes_of_state_are_the_machines_part_of_the_timeline(s):
    staff = browser(cast.make_staff())
    assert "api ■ Down".replace("■ ", "") in text(staff.get(f"/incidents/{s.incident.pk}/?show=machine"))
    assert "The connection was refused" not in text(staff.get(f"/incidents/{s.incident.pk}/?show=people")).split("Timeline")[1].split("Times")[0]  # fmt: skip


def test_the_list_is_filtered_by_severity_service_and_whose_it_is(s):
    ana = cast.alice()
    service = cast.service()
    Incident.objects.filter(pk=s.incident.pk).update(service=service, severity="minor")
    other = another()
    alice = browser(ana)

    def shown(query: str) -> set[int]:
        return {i.pk for i in alice.get(f"/incidents/?{query}").context["rows"]}

    assert shown("severity=minor") == shown(f"service={service.pk}") == {s.incident.pk}
    assert shown("severity=critical") == {other.pk} and shown("severity=awful") == set()
    assert shown("mine=1") == set()
    alice.post(f"/incidents/{other.pk}/acknowledge/")
    assert shown("mine=1") == {other.pk}
    page = alice.get("/incidents/").content.decode()
    assert page.count("data-ack") == 1, "only what nobody has"


# --- Correcting, merging, splitting ----------------------------------------------------------------------------------------
def test_an_untouched_form_changes_nothing_and_a_touched_one_what_was_touched(s):
    alice, where = browser(cast.alice()), f"/incidents/{s.incident.pk}/edit/"
    cast.contact()
    page = alice.get(where)
    data = form_of(page)
    alice.post(where, data)
    s.incident.refresh_from_db()
    assert s.incident.timeline.filter(kind="edited").count() == 0
    began = (s.incident.began_at - timedelta(minutes=3)).strftime("%Y-%m-%dT%H:%M:%S")
    alice.post(
        where, data | {"title": "Checkout is down", "severity": "major", "began_at": began, "lead": cast.contact().pk}
    )
    s.incident.refresh_from_db()
    assert (s.incident.title, s.incident.severity, s.incident.lead) == ("Checkout is down", "major", cast.contact())
    assert s.incident.times_known_by["began_at"] == "person"
    answer = alice.post(where, data | {"mitigated_at": "2020-01-01T00:00"})
    assert answer.status_code == 400 and "cannot be over before it began" in text(answer)


def test_a_viewer_reads_and_changes_nothing(s):
    viewer = browser(cast.viewer())
    for tail in ("edit", "merge", "split", "join"):
        assert viewer.get(f"/incidents/{s.incident.pk}/{tail}/").status_code == 403


def test_merge_and_undo_by_forms(s):
    other, alice = another(), browser(cast.alice())
    page = alice.get(f"/incidents/{s.incident.pk}/merge/")
    assert other.title in text(page)
    answer = alice.post(f"/incidents/{s.incident.pk}/merge/", {"into": other.pk}, follow=True)
    assert answer.redirect_chain[-1][0] == f"/incidents/{other.pk}/" and "Merged into this" in text(answer)
    assert f"Merged into #{other.pk}" in text(alice.get(f"/incidents/{s.incident.pk}/"))
    (undo,) = [u for u in answer.content.decode().split('"') if u.startswith(f"/incidents/{other.pk}/split/?")]
    form = alice.get(undo.replace("&amp;", "&"))
    answer = alice.post(f"/incidents/{other.pk}/split/", form_of(form), follow=True)
    fresh = Incident.objects.latest("pk")
    assert answer.redirect_chain[-1][0] == f"/incidents/{fresh.pk}/" and fresh.title == s.incident.title
    answer = alice.post(f"/incidents/{fresh.pk}/join/", {"alert": other.alert_links.get().alert_id}, follow=True)
    assert "The alert belongs here now" in text(answer)
    other.refresh_from_db()
    assert other.resolved_at is not None


def test_another_clients_incident_is_no_choice(s):
    theirs = another(cast.globex(), "theirs")
    answer = browser(cast.make_staff()).post(f"/incidents/{s.incident.pk}/merge/", {"into": theirs.pk})
    assert answer.status_code == 400
    assert browser(cast.mallory()).get(f"/incidents/{s.incident.pk}/merge/").status_code == 404


# --- Several clients -----------------------------------------------------------------------------------------------------------
def test_a_parent_is_made_read_and_updated_by_staff_and_no_client_sees_it(s):
    theirs = another(cast.globex(), "theirs")
    staff, alice = browser(cast.make_staff()), browser(cast.alice())
    assert alice.get("/incidents/group/").status_code == 404
    form = staff.get(f"/incidents/group/?incidents={s.incident.pk},{theirs.pk}")
    staff.post("/incidents/group/", form_of(form) | {"title": "Rack 4 is dark"})
    parent = Incident.objects.latest("pk")
    page = text(staff.get(f"/incidents/{parent.pk}/"))
    assert "Acme · api is down" in page and "Globex · theirs is down" in page
    staff.post(
        f"/incidents/{parent.pk}/", {"status": "identified", "message": "Power is back", "copy_to": [s.incident.pk]}
    )
    s.incident.refresh_from_db()
    theirs.refresh_from_db()
    assert (s.incident.status, theirs.status) == ("identified", "investigating")
    for where in (
        f"/incidents/{s.incident.pk}/",
        "/incidents/",
        f"/alerts/{s.alert.pk}/",
        f"/incidents/{s.incident.pk}/edit/",
        "/",
    ):
        page = alice.get(where).content.decode()
        assert "Rack 4" not in page and "theirs" not in page and f"/incidents/{parent.pk}/" not in page, where
    assert alice.get(f"/incidents/{parent.pk}/").status_code == 404
    assert "Rack 4 is dark" in text(staff.get(f"/incidents/{s.incident.pk}/"))
    staff.post(f"/incidents/{theirs.pk}/ungroup/")
    theirs.refresh_from_db()
    assert theirs.parent_id is None


def test_the_list_asks_the_database_as_often_for_thirty_as_for_three(s, django_assert_max_num_queries):
    staff = browser(cast.make_staff())
    for n in range(3):
        services.create(
            title=f"No {n}", severity="minor", by=cast.TESTS, at=database_now(), client_id=cast.acme().pk, notify=False
        )
    staff.get("/incidents/")
    with django_assert_max_num_queries(40) as few:
        staff.get("/incidents/")
    for n in range(27):
        services.create(
            title=f"More {n}",
            severity="minor",
            by=cast.TESTS,
            at=database_now(),
            client_id=cast.acme().pk,
            notify=False,
        )
    with django_assert_max_num_queries(len(few)):
        staff.get("/incidents/")


# --- The post-mortem -----------------------------------------------------------------------------------------------------------
def test_written_previewed_saved_finished_and_taken_along(s):
    alice, where = browser(cast.alice()), f"/incidents/{s.incident.pk}/postmortem/"
    assert "Nobody has begun it" in text(alice.get(where)) and not Postmortem.objects.exists(), "to look writes nothing"
    form = form_of(alice.get(f"{where}edit/"))
    assert str(form["body"]).startswith("# api is down") and not Postmortem.objects.exists()
    hostile = {**form, "body": "# Learned\n\n<script>alert(1)</script> **really**"}
    preview = alice.post(f"{where}edit/", hostile | {"preview": "1"})
    assert "<strong>really</strong>" in preview.content.decode() and "<script>alert(1)" not in preview.content.decode()
    part = alice.post(f"{where}edit/", hostile | {"preview": "1"}, HTTP_HX_REQUEST="true")
    assert "<html" not in part.content.decode() and "<strong>really</strong>" in part.content.decode()
    assert not Postmortem.objects.exists(), "a preview keeps nothing"
    alice.post(f"{where}edit/", hostile)
    assert Postmortem.objects.get().version == 2
    assert "<strong>really</strong>" in alice.get(where).content.decode()
    assert alice.get(f"/incidents/{s.incident.pk}/postmortem.pdf").content.startswith(b"%PDF")
    taken = alice.get(f"/incidents/{s.incident.pk}/postmortem.md")
    assert taken.content.decode() == hostile["body"] and "attachment" in taken["Content-Disposition"]
    alice.post(f"{where}finish/")
    assert "It is finished; reopen it" in text(alice.post(f"{where}edit/", form, follow=True))
    alice.post(f"{where}reopen/")
    assert Postmortem.objects.get().finished_at is None


def test_the_second_editor_sees_both_texts_and_saves_on_purpose(s):
    where = f"/incidents/{s.incident.pk}/postmortem/edit/"
    ana, staff = browser(cast.alice()), browser(cast.make_staff())
    hers, theirs = form_of(ana.get(where)), form_of(staff.get(where))
    staff.post(where, theirs | {"body": "What staff wrote"})
    answer = ana.post(where, hers | {"body": "What Ana wrote"})
    assert answer.status_code == 409
    page = text(answer)
    assert "What Ana wrote" in page and "What staff wrote" in page and "saved version 2 meanwhile" in page
    assert Postmortem.objects.get().body == "What staff wrote"
    assert ana.post(where, form_of(answer) | {"body": "Both"}).status_code == 302
    assert Postmortem.objects.get().body == "Both"


def test_another_client_finds_no_post_mortem(s):
    postmortems.open_for(s.incident, "x", by=cast.TESTS, at=database_now())
    mallory = browser(cast.mallory())
    for tail in ("postmortem/", "postmortem/edit/", "postmortem/finish/", "postmortem.pdf", "postmortem.md"):
        assert mallory.get(f"/incidents/{s.incident.pk}/{tail}").status_code == 404


# --- Availability -----------------------------------------------------------------------------------------------------------------
def test_a_promise_is_made_and_its_month_kept_counted_again_and_taken_along(s):
    service = cast.service()
    type(s.down).objects.filter(pk__in=[s.down.pk, s.up.pk]).update(service=service)
    staff, alice = browser(cast.make_staff()), browser(cast.alice())
    assert "No contract yet" in text(alice.get("/sla/"))
    assert f"/sla/services/{service.pk}/" in staff.get("/sla/").content.decode()
    form = form_of(staff.get(f"/sla/services/{service.pk}/"))
    staff.post(f"/sla/services/{service.pk}/", form)
    assert alice.get(f"/sla/services/{service.pk}/").status_code == 403
    now = database_now()
    last = (now.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
    here = f"/sla/{cast.acme().pk}/{now:%Y-%m}/"
    page = text(alice.get(here))
    assert "So far" in page and "Allowed downtime" in page and "Raw" in page
    assert "not over yet" in text(staff.post(here, follow=True))
    assert alice.post(f"/sla/{cast.acme().pk}/{last}/").status_code == 403
    staff.post(f"/sla/{cast.acme().pk}/{last}/")
    assert SlaReport.objects.get().client == cast.acme()
    assert "everything is equal" in text(alice.get(f"/sla/{cast.acme().pk}/{last}/?again=1"))
    assert last in alice.get("/sla/").content.decode()
    assert alice.get(f"/sla/{cast.acme().pk}/{last}.pdf").content.startswith(b"%PDF")
    assert b"Checkout" in alice.get(f"/sla/{cast.acme().pk}/{last}.csv").content
    mallory = browser(cast.mallory())
    for where in (here, f"/sla/{cast.acme().pk}/{last}.pdf", f"/sla/services/{service.pk}/"):
        assert mallory.get(where).status_code == 404
    assert alice.get(f"/sla/{cast.acme().pk}/never/").status_code == 404


def test_a_parents_update_that_a_child_refuses_is_said(s):
    theirs = another(cast.globex(), "theirs")
    parent = parents.group([s.incident, theirs], title="Dark", by=cast.TESTS, at=database_now())
    staff = browser(cast.make_staff())
    answer = staff.post(
        f"/incidents/{parent.pk}/", {"status": "resolved", "message": "Over", "copy_to": [theirs.pk]}, follow=True
    )
    theirs.refresh_from_db()
    assert theirs.resolved_at is not None and "The update is on the record" in text(answer)
