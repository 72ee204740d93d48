"""STP-5: a page's copy in an S3-compatible bucket, shown against a real server that checks every signature."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client as Browser

from statuspages import bucket, bucket_copy, copies, listing, projector, serving, static_copy
from statuspages.models import Page
from tests import cast, environment
from tests.rig.process import Child, NotAvailable
from tests.statuspages import showing
from tests.statuspages.bucket_server import BUCKET, KEY, SECRET, BucketServer, Line
from tests.statuspages.showing import AT

ROOT = Path(__file__).parent.parent.parent
MINUTE = timedelta(minutes=1)
ALWAYS = ["index.html", "index.json"]  # they say as of when they are


# --- A page, a bucket -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    try:
        with BucketServer() as running:
            yield running
    except NotAvailable as trouble:
        pytest.skip(f"NOT RUN: {trouble}")


@pytest.fixture
def line(server: BucketServer) -> Iterator[Line]:
    """How the portal reaches the server; it writes down what was asked."""
    made = Line(server.port)
    yield made
    made.close()


@pytest.fixture
def where(settings, line: Line, request, tmp_path: Path) -> str:
    """The prefix of this test's own, set up as an operator does, with no folder beside it."""
    prefix = "".join(c for c in request.node.name if c.isalnum())[:60]
    settings.PUBLISH_FOLDER, settings.PUBLISH_COMMAND = "", []
    settings.PUBLISH_BUCKET = f"s3://{BUCKET}/{prefix}"
    settings.PUBLISH_S3 = {"endpoint": line.url(), "region": "", "key_id": KEY, "secret": SECRET}
    serving.board.forget()
    return f"{prefix}/acme/status"


@pytest.fixture
def page(db) -> Page:
    return a_page()


def a_page() -> Page:
    page = showing.page()
    part = showing.component(page, "Checkout", showing.monitor("up"))
    showing.incident(page, components=[part])
    Page.objects.filter(pk=page.pk).update(publish_folder="acme/status")
    return showing.build(page)


def again(page: Page) -> Page:
    return Page.objects.select_related("projection").get(pk=page.pk)


def changed(page: Page, later: timedelta, **values: object) -> Page:
    """The page, with other values, as it is built some time later."""
    Page.objects.filter(pk=page.pk).update(**values)
    return showing.build(page, AT + later)


def there(server: BucketServer, where: str) -> dict[str, bytes]:
    """Everything below this name, as strangers read it, without our note."""
    listed = [f"{where}/{name}" for name in listing.decode(server.read(f"{where}/{listing.NAME}")[1]).files]
    return {name.removeprefix(f"{where}/"): server.read(name)[1] for name in listed}


def folder_of(root: Path) -> dict[str, bytes]:
    """The copy beside it, without our note."""
    folder = root / "acme/status"
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    files.pop(listing.NAME)
    return files


def file_of(page: Page, address: str) -> bytes:
    return showing.get(page, address).content


def test_the_first_copy_is_the_page_and_the_same_as_in_the_folder(page, server, line, where, settings, tmp_path):
    settings.PUBLISH_FOLDER = str(tmp_path)
    assert static_copy.publish(page, AT) == ""
    beside = folder_of(tmp_path)
    assert there(server, where) == beside and len(beside) >= 9
    assert beside["index.html"] == file_of(page, "")
    row = again(page)
    assert (row.published_digest, row.published_at, row.publish_error) == (row.projection.digest, AT, "")


def test_as_time_goes_by_the_bucket_and_the_folder_stay_the_same(page, server, where, settings, tmp_path):
    settings.PUBLISH_FOLDER = str(tmp_path)
    static_copy.publish(page, AT)
    first = folder_of(tmp_path)
    static_copy.publish(changed(page, MINUTE), AT + MINUTE)
    second = folder_of(tmp_path)
    assert there(server, where) == second
    assert sorted(name for name in second if first[name] != second[name]) == ALWAYS, "the rest says nothing new"
    static_copy.publish(changed(page, 2 * MINUTE, headline="New words"), AT + 2 * MINUTE)
    third = folder_of(tmp_path)
    assert there(server, where) == third and b"New words" in third["index.html"]


def test_strangers_read_it_by_plain_http_as_what_it_is(page, server, where):
    static_copy.publish(page, AT)
    for name, kind, kept in (
        ("index.html", "text/html; charset=utf-8", "max-age=15"),
        ("index.json", "application/json", "max-age=15"),
        ("feed.atom", "application/atom+xml; charset=utf-8", "max-age=15"),
        ("badge.svg", "image/svg+xml", "max-age=15"),
        ("style.css", "text/css; charset=utf-8", "max-age=600"),
    ):
        status, content, headers = server.read(f"{where}/{name}")
        assert (status, headers["Content-Type"]) == (200, kind) and kept in headers["Cache-Control"]
        assert content == file_of(page, "" if name == "index.html" else name)


def test_the_first_page_comes_after_all_that_it_shows(page, line, where):
    static_copy.publish(page, AT)
    order = [name.removeprefix(f"{where}/") for name in line.puts()]
    assert sorted(order[-2:]) == ALWAYS
    pages = [n for n, name in enumerate(order) if name.endswith("/index.html")]
    assert max(n for n, name in enumerate(order) if name.endswith((".css", ".svg"))) < min(pages)


def test_what_is_the_same_is_not_put_again(page, line, where):
    static_copy.publish(page, AT)
    line.forget()
    assert static_copy.publish(again(page), AT + MINUTE) == ""
    assert line.asked == [f"GET {where}/{listing.NAME}"]


def test_time_alone_changes_the_first_page_and_nothing_else(page, line, where):
    static_copy.publish(page, AT)
    line.forget()
    static_copy.publish(changed(page, MINUTE), AT + MINUTE)
    assert sorted(line.puts()) == [f"{where}/{name}" for name in ALWAYS]


def test_one_change_puts_only_its_files(page, server, line, where):
    static_copy.publish(page, AT)
    line.forget()
    page = changed(page, MINUTE, custom_css="body { color: #123456 }")
    static_copy.publish(page, AT + MINUTE)
    assert sorted(line.puts()) == [f"{where}/{name}" for name in (*ALWAYS, "style.css")]
    assert server.read(f"{where}/style.css")[1] == file_of(page, "style.css")


def test_what_is_gone_is_taken_away_and_what_others_put_there_stays(page, server, line, where):
    static_copy.publish(page, AT)
    server.ask("PUT", f"/{where}/robots.txt", b"the operator's own")
    gone = f"{where}/incidents/{page.publications.get().pk}/index.html"
    assert server.read(gone)[0] == 200
    page.publications.all().delete()
    static_copy.publish(changed(page, MINUTE), AT + MINUTE)
    assert server.read(gone)[0] == 404 and server.read(f"{where}/robots.txt")[1] == b"the operator's own"
    assert line.asked.index(f"DELETE {gone}") > line.asked.index(f"PUT {where}/index.html"), (
        "no page leads to it by then"
    )


def test_the_operator_puts_all_of_it_again(page, server, where):
    static_copy.publish(page, AT)
    server.ask("PUT", f"/{where}/style.css", b"broken by somebody")
    static_copy.publish(again(page), AT + MINUTE)
    assert server.read(f"{where}/style.css")[1] == b"broken by somebody", "what it is believed to hold"
    call_command("publish_pages", "--whole", "acme")
    assert server.read(f"{where}/style.css")[1] == file_of(page, "style.css")


# --- Pages that are no longer there -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("change", [{"visibility": "signed_in"}, {"enabled": False}])
def test_a_page_that_is_no_longer_for_everybody_is_taken_away(page, server, where, change):
    static_copy.publish(page, AT)
    before = there(server, where)
    Page.objects.filter(pk=page.pk).update(**change)
    row = again(page)
    assert static_copy.due(row, row.projection.digest, AT) and static_copy.publish(row, AT + MINUTE) == ""
    assert {server.read(f"{where}/{name}")[0] for name in (*before, listing.NAME)} == {404}


@pytest.mark.parametrize("how", ["deleted", "moved", "cleared"])
def test_the_copy_of_a_page_that_is_gone_from_there_is_taken_away(page, server, where, how, settings, tmp_path):
    settings.PUBLISH_FOLDER = str(tmp_path)
    static_copy.publish(page, AT)
    before = there(server, where)
    if how == "deleted":
        page.delete()
    else:
        Page.objects.filter(pk=page.pk).update(publish_folder="elsewhere" if how == "moved" else "")
    gone = copies.take_away_left_overs(AT)
    assert gone == [str(tmp_path / "acme/status"), f"{settings.PUBLISH_BUCKET}/acme/status"]
    assert {server.read(f"{where}/{name}")[0] for name in (*before, listing.NAME)} == {404}
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert copies.take_away_left_overs(AT) == []


def test_copies_with_a_page_and_those_of_another_portal_are_not_left_over(page, server, where, settings):
    static_copy.publish(page, AT)
    assert copies.take_away_left_overs(AT) == []
    note = f"{where}/{listing.NAME}"
    theirs = json.loads(server.read(note)[1]) | {"by": "another portal"}
    server.ask("PUT", f"/{note}", json.dumps(theirs).encode())
    page.delete()
    assert copies.take_away_left_overs(AT) == [] and server.read(f"{where}/index.html")[0] == 200


# --- Trouble --------------------------------------------------------------------------------------------------------------
def test_a_wrong_secret_is_told_and_nothing_is_lost(page, server, where, settings, caplog):
    static_copy.publish(page, AT)
    before = there(server, where)
    settings.PUBLISH_S3 = settings.PUBLISH_S3 | {"secret": "not-the-one-1234"}
    trouble = static_copy.publish(changed(page, MINUTE, headline="New words"), AT + MINUTE)
    assert (
        "PUBLISH_S3_SECRET is not the secret of PUBLISH_S3_KEY_ID" in trouble and again(page).publish_error == trouble
    )
    assert "not-the-one-1234" not in caplog.text + trouble and KEY not in trouble
    assert there(server, where) == before
    with pytest.raises(CommandError, match="1 of 1 could not be written"):
        call_command("publish_pages", "acme")
    settings.PUBLISH_S3 = settings.PUBLISH_S3 | {"secret": SECRET}
    assert static_copy.publish(again(page), AT + 2 * MINUTE) == "" and again(page).publish_error == ""
    assert b"New words" in server.read(f"{where}/index.html")[1]


def test_a_server_that_is_away_is_asked_again_after_a_minute_and_staff_see_why(page, server, line, where, settings):
    settings.PUBLISH_S3 = settings.PUBLISH_S3 | {"endpoint": "http://127.0.0.1:9"}
    trouble = static_copy.publish(page, AT)
    assert trouble == "The bucket's server was not reached. The connection was refused: nothing listens on that port."
    staff = Browser()
    staff.force_login(cast.make_staff())
    for path in ("/status-pages/", f"/status-pages/{page.pk}/"):
        assert "was not reached" in staff.get(path).content.decode()
    row = again(page)
    assert not static_copy.due(row, row.projection.digest, AT + MINUTE / 2)
    assert static_copy.due(row, row.projection.digest, AT + MINUTE)
    settings.PUBLISH_S3 = settings.PUBLISH_S3 | {"endpoint": line.url()}
    assert static_copy.publish(row, AT + MINUTE) == "" and server.read(f"{where}/index.html")[0] == 200


def test_a_server_that_is_away_is_asked_once_a_round(page, server, where, settings):
    second = showing.page(cast.globex())
    Page.objects.filter(pk=second.pk).update(publish_folder="globex")
    second = showing.build(second)
    with socket.socket() as held:  # nobody listens there until `back` does
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        settings.PUBLISH_S3 = settings.PUBLISH_S3 | {"endpoint": f"http://127.0.0.1:{port}"}
        with bucket_copy.Places() as places:
            trouble = static_copy.publish(page, AT, places)
            held.close()
            back = Line(server.port, port)
            assert static_copy.publish(second, AT, places) == trouble != "" and back.asked == []
    assert static_copy.publish(again(page), AT + MINUTE) == "" and back.asked
    back.close()


def test_one_places_trouble_does_not_keep_the_other_from_its_copy(page, server, where, settings, tmp_path):
    settings.PUBLISH_FOLDER, settings.PUBLISH_COMMAND = str(tmp_path), ["/nowhere/rsync"]
    assert "could not be started" in static_copy.publish(page, AT)
    assert server.read(f"{where}/index.html")[0] == 200
    settings.PUBLISH_COMMAND, settings.PUBLISH_S3 = [], settings.PUBLISH_S3 | {"secret": ""}
    page = changed(page, MINUTE, headline="New words")
    assert "settings of the bucket are not whole" in static_copy.publish(page, AT + MINUTE)
    assert b"New words" in (tmp_path / "acme/status/index.html").read_bytes()


def test_who_writes_is_waited_for_and_who_died_at_it_not_for_ever(page, where):
    digest, soon = page.projection.digest, AT + MINUTE
    Page.objects.update(published_at=AT, published_digest=static_copy.BEING_WRITTEN)
    assert not static_copy.due(again(page), digest, soon)
    assert static_copy.due(again(page), digest, AT + static_copy.SURELY_OVER)


def test_an_older_copy_stops_when_a_newer_one_has_begun(page, server, where):
    answers = iter([True, False])
    with bucket_copy.Places() as places:
        opened = places.bucket()
        front = bucket_copy.Front.of(page, page.projection.body, AT, page.projection.digest)
        bucket_copy.write(opened, "acme/status", front, still=lambda: next(answers))
    assert server.read(f"{where}/style.css")[0] == 200 and server.read(f"{where}/index.html")[0] == 404


def database_url() -> str:
    """The tests' database, for a program of its own."""
    name, shared = connection.settings_dict["NAME"], os.environ.get(environment.SERVER)
    return f"{shared.rpartition('/')[0]}/{name}" if shared else f"sqlite://{name}"


@pytest.mark.django_db(transaction=True)
def test_killed_between_two_files_and_the_next_run_completes_it(server, line, where, tmp_path):
    page = a_page()
    publication = page.publications.get().pk
    line.hold_after(puts=4)
    env = os.environ | {
        "DATABASE_URL": database_url(), "PUBLISH_BUCKET": configured.PUBLISH_BUCKET, "PUBLISH_S3_ENDPOINT": line.url(),
        "PUBLISH_S3_KEY_ID": KEY, "PUBLISH_S3_SECRET": SECRET,
    }  # fmt: skip
    run = Child([sys.executable, "manage.py", "publish_pages", "acme"], log=tmp_path / "log", env=env, cwd=str(ROOT))
    assert line.held.wait(120), run.tail()
    assert run.end(signal.SIGKILL) == -signal.SIGKILL
    line.let_go()
    put = [name.removeprefix(f"{where}/") for name in line.puts()]
    assert len(put) == 4 and server.read(f"{where}/index.html")[0] == 404, "readers do not meet half of it"
    assert set(put) < listing.decode(server.read(f"{where}/{listing.NAME}")[1]).files.keys(), "noted before it was put"

    Page.objects.get(pk=page.pk).publications.all().delete()  # meanwhile something that was to be put is no more
    page = showing.build(Page.objects.get(pk=page.pk), AT + MINUTE)
    assert static_copy.publish(page, AT + MINUTE) == ""
    found = there(server, where)
    assert found["index.html"] == file_of(page, "") and found["style.css"] == file_of(page, "style.css")
    assert server.read(f"{where}/incidents/{publication}/index.html")[0] == 404
    assert all(listing.decode(server.read(f"{where}/{listing.NAME}")[1]).files.values()), "nothing is unsure any more"


def test_a_copy_that_failed_half_way_goes_on_where_it_ended(page, server, line, where):
    line.refuse_after(puts=6)
    assert "answered 503" in static_copy.publish(page, AT)
    first = line.puts()
    assert len(first) == 6 and server.read(f"{where}/index.html")[0] == 404
    line.let_go()
    line.forget()
    assert static_copy.publish(again(page), AT + MINUTE) == ""
    assert not set(first) & set(line.puts()) and server.read(f"{where}/index.html")[0] == 200


def test_a_copy_that_takes_too_long_ends_and_goes_on_where_it_ended(page, server, line, where):
    note, front = (
        f"{where}/{listing.NAME}",
        bucket_copy.Front.of(page, page.projection.body, AT, page.projection.digest),
    )
    line.hold_after(puts=6)
    with bucket_copy.Places() as places:
        opened = places.bucket()
        opened.begin(5)
        with pytest.raises(bucket.BucketFailed):
            bucket_copy.write(opened, "acme/status", front)
        sure = {f"{where}/{name}" for name, known in listing.decode(server.read(note)[1]).files.items() if known}
        assert server.read(f"{where}/index.html")[0] == 404
        line.let_go()
        line.forget()
        opened.begin()
        bucket_copy.write(opened, "acme/status", front)
    assert not sure & set(line.puts()) and there(server, where)["index.html"] == file_of(page, "")


# --- The loop and the command -----------------------------------------------------------------------------------------------
def test_the_loop_writes_what_is_due_with_a_bucket_alone(page, server, where):
    projector.Copyist().step()
    assert server.read(f"{where}/index.html")[0] == 200


def test_the_loop_takes_away_what_is_left_over_once_a_minute(page, server, where):
    static_copy.publish(page, AT)
    page.delete()
    copies.keep_up(AT)
    assert server.read(f"{where}/index.html")[0] == 404


def test_the_operators_command_does_not_get_the_key(page, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("PUBLISH_S3_SECRET", "only-ours")
    note = tmp_path / "note"
    static_copy.carry(tmp_path, [sys.executable, "-c", f"import os; open({str(note)!r}, 'w').write(str(dict(os.environ)))"])  # fmt: skip
    assert "only-ours" not in note.read_text() and "PATH" in note.read_text()


def test_publish_pages_says_where_it_wrote_and_what_it_took_away(page, server, where, settings, capsys):
    call_command("publish_pages")
    assert f"acme: {settings.PUBLISH_BUCKET}/acme/status" in capsys.readouterr().out
    Page.objects.filter(pk=page.pk).update(publish_folder="")
    call_command("publish_pages")
    assert f"{settings.PUBLISH_BUCKET}/acme/status: taken away" in capsys.readouterr().out
    settings.PUBLISH_S3 = settings.PUBLISH_S3 | {"secret": ""}
    with pytest.raises(CommandError, match="PUBLISH_S3_SECRET is empty"):
        call_command("publish_pages")
