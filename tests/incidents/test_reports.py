"""What was told of a month: read from the rows, kept, counted again, handed out as table and paper, each client its own."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from alerts.models import Alert, MaintenanceWindow, Occurrence
from incidents import exports, reports
from incidents.models import SlaContract, SlaReport
from monitors.models import Monitor, Probe, Rollup, StateChange
from portal.errors import Refused
from tests import cast

pytestmark = pytest.mark.django_db
OCT = date(2026, 10, 1)
NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)
MONTH = 31 * 86400.0


def at(day: int, hour: int = 0, minute: int = 0, month: int = 10) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def promised(name: str = "shop", **terms: object) -> Monitor:
    """A monitor of Acme's one service, up since long, with a contract."""
    service = cast.service()
    m = cast.monitor(name=name)
    Monitor.objects.filter(pk=m.pk).update(service=service)
    reports.save_contract(service, by=cast.TESTS, **{"target_percent": 99.9, **terms})
    change(m, at(1, month=9), "up")
    return m


def change(m: Monitor, when: datetime, to: str, **more: object) -> None:
    last = StateChange.objects.filter(monitor=m).order_by("-version").first()
    StateChange.objects.create(
        monitor=m, version=last.version + 1 if last else 1, at=when, from_state=last.to_state if last else "pending", to_state=to, **more
    )  # fmt: skip


def outage(m: Monitor, begin: datetime, end: datetime, **more: object) -> None:
    change(m, begin, "down", first_failure_at=begin - timedelta(seconds=30), **more)
    change(m, end, "up")


def section(now: datetime = NOW, first: date = OCT) -> dict:
    (found,) = reports.figures(cast.acme(), first, at=now)["services"]
    return found


def test_a_month_is_counted_from_the_changes_of_state():
    outage(promised(), at(10, 12), at(10, 13))
    s = section()
    assert s["raw"] == {"counted_seconds": MONTH, "down_seconds": 3600.0, "percent": 99.8655}
    assert s["met"] is False and s["complete"] and exports.verdict(s) == "Target 99.9 % missed."
    assert exports.left(s) == "15 min 22 s over the 44 min 38 s allowed"


def test_a_window_as_it_took_place_is_left_out():
    m = promised()
    outage(m, at(10, 12), at(10, 13))
    window = MaintenanceWindow.objects.create(
        client=cast.acme(), title="=New disks", starts_at=at(10, 11), ends_at=at(10, 20), timezone="UTC"
    )
    Occurrence.objects.create(window=window, starts_at=at(10, 11), ends_at=at(10, 20), closed_at=at(10, 14))
    s = section()
    assert s["met"] is True and s["contract_figures"]["counted_seconds"] == MONTH - 3 * 3600, "it was ended early"
    assert s["raw"]["down_seconds"] == 3600 and [e["why"] for e in s["excluded"]] == ["maintenance: =New disks"]


def test_failures_beneath_maintenance_stand_in_the_raw_figure():
    m = promised()
    change(m, at(10, 12), "maintenance", reason="New disks")
    change(m, at(10, 14), "up")
    about = {
        "source": "endpoint",
        "condition": "health",
        "event": "consecutive_failure",
        "entity_type": "monitor",
        "entity_id": str(m.pk),
        "entity_name": "shop",
    }
    Alert.objects.create(**about, severity="critical", client=cast.acme(), monitor_id=m.pk, title="x", status="resolved", created_at=at(10, 12, 30), updated_at=at(10, 13), resolved_at=at(10, 13))  # fmt: skip
    s = section()
    assert (s["raw"]["down_seconds"], s["contract_figures"]["down_seconds"]) == (1800, 0)


def test_hours_without_a_result_are_no_data():
    m, probe = promised(), Probe.objects.get(slug="local")
    hours = [at(1) + timedelta(hours=n) for n in range(31 * 24) if not 100 <= n < 103]
    Rollup.objects.bulk_create(Rollup(monitor=m, probe=probe, period="h", start=h, up=60) for h in hours)
    Rollup.objects.create(monitor=m, probe=probe, period="h", start=at(1, month=11), up=60)
    s = section()
    assert s["raw"]["counted_seconds"] == MONTH - 3 * 3600 and s["met"] is True
    assert [e["why"] for e in s["excluded"]] == ["unknown: nothing was measured"]


def test_a_report_is_kept_once_and_counted_again():
    m = promised()
    outage(m, at(10, 12), at(10, 12, 20), layer="transit")
    row = reports.make(cast.acme(), OCT, by=cast.TESTS, at=NOW)
    assert reports.make(cast.acme(), OCT, by=cast.TESTS, at=NOW + timedelta(days=1)).pk == row.pk
    row = SlaReport.objects.get(pk=row.pk)
    assert reports.recompute(row, at=NOW + timedelta(days=2)) == []
    StateChange.objects.filter(to_state="down").update(at=at(10, 11))
    found = reports.recompute(row, at=NOW)
    assert "Checkout: raw, down seconds: 1200.0 then, 4800.0 now." in found
    assert "Checkout: by contract, percent: 99.9551 then, 99.8207 now." in found and len(found) == 4
    assert reports.make(cast.acme(), OCT, by=cast.TESTS, at=NOW).pk != row.pk, "other figures are another report"


def test_when_the_rows_are_gone_the_report_still_answers_for_itself():
    outage(promised(), at(10, 12), at(10, 12, 20))
    row = SlaReport.objects.get(pk=reports.make(cast.acme(), OCT, by=cast.TESTS, at=NOW).pk)
    StateChange.objects.all().delete()
    late = NOW + timedelta(days=200)
    assert reports.recompute(row, at=late) == [] and not reports.can_ask_rows(row, at=late)
    row.body["services"][0]["raw"]["down_seconds"] = 0
    found = reports.recompute(row, at=late)
    assert "its digest differs" in found[0] and "other figures than the ones it shows" in found[1]


@pytest.mark.parametrize(
    ("day", "kept"), [(datetime(2026, 11, 2, 23, tzinfo=UTC), 0), (NOW, 1), (datetime(2026, 11, 20, tzinfo=UTC), 0)]
)
def test_a_month_is_kept_by_itself_when_it_has_settled(day, kept):
    outage(promised(), at(10, 12), at(10, 12, 20))
    cast.globex()
    assert reports.keep_due(day) == kept and reports.keep_due(day) == 0, "once"
    assert [(r.client, r.month, r.made_by) for r in SlaReport.objects.all()] == [
        (cast.acme(), OCT, "Watchkeeper")
    ] * kept


def test_a_month_in_which_nothing_was_measured_is_not_kept_by_itself():
    reports.save_contract(cast.service(), by=cast.TESTS)
    assert reports.keep_due(NOW) == 0


def test_a_month_that_runs_is_not_kept():
    promised()
    with pytest.raises(Refused, match="not over yet"):
        reports.make(cast.acme(), date(2026, 11, 1), by=cast.TESTS, at=NOW)
    assert section(first=date(2026, 11, 1))["until"] == "2026-11-05T12:00:00Z"
    with pytest.raises(Refused, match="No service of this client has a contract"):
        reports.make(cast.globex(), OCT, by=cast.TESTS, at=NOW)


@pytest.mark.parametrize(("values", "field"), [({"target_percent": 101}, "target_percent"), ({"timezone": "No/Such"}, "timezone"), ({"counted_from": "x"}, "counted_from")])  # fmt: skip
def test_what_cannot_be_promised_says_where(values, field):
    with pytest.raises(ValidationError) as refused:
        reports.save_contract(cast.service(), by=cast.TESTS, **values)
    assert field in refused.value.message_dict and not SlaContract.objects.exists()


def test_table_and_paper_do_no_harm():
    m = promised(name='=HYPERLINK("http://x")')
    outage(m, at(10, 12), at(10, 13), reason="<img src=http://127.0.0.1:9/x>")
    body = reports.figures(cast.acme(), OCT, at=NOW)
    rows = list(csv.DictReader(io.StringIO(exports.as_csv(body))))
    assert {r["monitor"] for r in rows if r["row"] == "outage"} == {'\'=HYPERLINK("http://x")'}
    assert rows[0]["percent"] == "99.8655" and rows[1]["met"] == "no"
    assert exports.as_pdf(body).startswith(b"%PDF")


def test_on_paper_a_day_is_written_once_and_a_month_by_its_name():
    m = promised()
    outage(m, at(10, 12), at(10, 12, 20))
    outage(m, at(30, 23, 50), at(31, 0, 10))
    body = reports.figures(cast.acme(), OCT, at=NOW)
    told = exports.blocks(body)
    assert told[0].text == "Availability in October 2026"
    (outages,) = [b for b in told if getattr(b, "head", ())[:1] == ("Monitor",)]
    assert [row[1:3] for row in outages.rows] == [
        ("2026-10-10 12:00:00", "12:20:00"), ("2026-10-30 23:50:00", "2026-10-31 00:10:00"),
    ]  # fmt: skip


# --- Over the API ------------------------------------------------------------------------------------------------------------
def test_contracts_are_ours_to_write_and_the_clients_to_read():
    staff, alice = cast.api(cast.make_staff()), cast.api(cast.alice())
    body = {"service": cast.service().pk, "target_percent": 99.5}
    assert alice.post("/api/v1/sla-contracts", body).status_code == 403
    made = staff.post("/api/v1/sla-contracts", body)
    assert made.status_code == 201 and made.json()["exclude_maintenance"] is True
    assert "contract already" in str(staff.post("/api/v1/sla-contracts", body).json())
    where = f"/api/v1/sla-contracts/{made.json()['id']}"
    assert (
        alice.get(where).json()["target_percent"] == 99.5
        and alice.patch(where, {"target_percent": 1}).status_code == 403
    )
    assert staff.patch(where, {"target_percent": 99}).json()["target_percent"] == 99
    assert staff.patch(where, {"timezone": "No/Such"}).status_code == 400
    assert cast.api(cast.mallory()).get(where).status_code == 404
    assert staff.delete(where).status_code == 204 and not SlaContract.objects.exists()


def test_reports_are_found_by_client_and_month():
    outage(promised(), at(10, 12), at(10, 13))
    acme, staff, alice = cast.acme(), cast.api(cast.make_staff()), cast.api(cast.alice())
    row = reports.make(acme, OCT, by=cast.TESTS, at=NOW)
    found = alice.get(f"/api/v1/sla-reports?client={acme.pk}&month=2026-10").json()["results"]
    assert [r["id"] for r in found] == [row.pk] and found[0]["month"] == "2026-10"
    assert alice.get("/api/v1/sla-reports?month=2026-09").json()["results"] == []
    assert alice.get("/api/v1/sla-reports?month=october").status_code == 400
    assert alice.post("/api/v1/sla-reports", {"client": acme.pk, "month": "2026-10"}).status_code == 403
    assert staff.post("/api/v1/sla-reports", {"client": acme.pk, "month": "2026-10"}).json()["id"] == row.pk
    assert staff.post("/api/v1/sla-reports", {"client": acme.pk, "month": "2030-01"}).status_code == 409
    assert alice.get(f"/api/v1/sla-reports/{row.pk}/recompute").json()["equal"] is True
    assert (
        alice.get(f"/api/v1/sla-reports/figures?client={acme.pk}&month=2026-10").json()["services"][0]["met"] is False
    )
    assert alice.get(f"/api/v1/sla-reports/{row.pk}/pdf").content.startswith(b"%PDF")
    assert alice.get(f"/api/v1/sla-reports/{row.pk}/csv").content.startswith(b"month,service")
    mallory = cast.api(cast.mallory())
    assert mallory.get(f"/api/v1/sla-reports/{row.pk}").status_code == 404
    assert mallory.get(f"/api/v1/sla-reports/figures?client={acme.pk}&month=2026-10").status_code == 400
