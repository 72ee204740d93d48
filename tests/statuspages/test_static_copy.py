"""STP-5: a page as plain files below the operator's folder, whole or not at all, and nothing but what everybody may read."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from statuspages import projector, serving, static_copy
from statuspages.models import Page
from statuspages.static_copy import CopyFailed
from tests import cast
from tests.statuspages import showing
from tests.statuspages.showing import AT
from tests.statuspages.test_projection import SECRETS, planted

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(settings, tmp_path: Path) -> Path:
    """Where the operator lets copies be written."""
    settings.PUBLISH_FOLDER, settings.PUBLISH_COMMAND = str(tmp_path / "copies"), []
    (tmp_path / "copies").mkdir()
    serving.board.forget()
    return tmp_path / "copies"


def ready(page: Page) -> Page:
    Page.objects.filter(pk=page.pk).update(publish_folder="acme/status")
    return showing.build(page)


@pytest.fixture
def page() -> Page:
    page = showing.page()
    part = showing.component(page, "Checkout", showing.monitor("up"))
    showing.incident(page, components=[part])
    return ready(page)


def names(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def again(page: Page) -> Page:
    return Page.objects.select_related("projection").get(pk=page.pk)


def test_the_copy_is_the_page_byte_for_byte(page, folder):
    assert static_copy.publish(page, AT) == ""
    copy = folder / "acme/status"
    part, publication = page.components.get(), page.publications.get()
    assert names(copy) - {static_copy.LISTING} == {
        "index.html", "index.json", "feed.atom", "style.css", "icon.svg", "badge.svg", "embed/index.html", f"badge/{part.pk}.svg",
        f"incidents/{publication.pk}/index.html", *(f"history/{m['month']}/index.html" for m in page.projection.body["history"]),
    }  # fmt: skip
    assert (copy / "index.html").read_bytes() == showing.get(page).content
    assert (copy / "index.html").stat().st_mode & 0o777 == 0o644
    row = again(page)
    assert (row.published_digest, row.published_at, row.publish_error) == (row.projection.digest, AT, "")


def test_only_what_changed_is_written_and_what_is_gone_is_taken_away(page, folder):
    static_copy.publish(page, AT)
    copy = folder / "acme/status"
    (copy / "robots.txt").write_text("the operator's own")
    before = (copy / "badge.svg").stat().st_mtime_ns
    gone = page.publications.get().pk
    page.publications.all().delete()
    static_copy.publish(showing.build(page, AT + timedelta(minutes=1)), AT + timedelta(minutes=1))
    assert "robots.txt" in names(copy), "what others put there is theirs"
    assert not (copy / f"incidents/{gone}").exists()
    assert (copy / "style.css").exists() and before <= (copy / "badge.svg").stat().st_mtime_ns


def test_a_file_that_is_the_same_stays_untouched(tmp_path):
    static_copy.write(tmp_path, {"index.html": b"a", "x/y.svg": b"b"})
    before = (tmp_path / "x/y.svg").stat()
    assert static_copy.write(tmp_path, {"index.html": b"c", "x/y.svg": b"b"}) == 1
    assert (tmp_path / "x/y.svg").stat().st_ino == before.st_ino


def test_an_interrupted_copy_is_cleaned_up_by_the_next(tmp_path, monkeypatch):
    honest = static_copy._replace

    def full(path: Path, content: bytes) -> None:
        if path.name == "b.svg":
            raise OSError(28, "No space left on device")
        honest(path, content)

    static_copy.write(tmp_path, {"index.html": b"old"})
    monkeypatch.setattr(static_copy, "_replace", full)
    with pytest.raises(OSError):
        static_copy.write(tmp_path, {"index.html": b"new", "a.svg": b"1", "b.svg": b"2"})
    assert (tmp_path / "index.html").read_bytes() == b"old", "the first page comes last"
    monkeypatch.setattr(static_copy, "_replace", honest)
    static_copy.write(tmp_path, {"index.html": b"new"})
    assert names(tmp_path) == {"index.html", static_copy.LISTING}


@pytest.mark.parametrize(
    "name", ["", "../out", "/etc", "a/../../b", "a//b", ".hidden", "a/.git", "a\\b", "a\nb", "~root", "a/"]
)
def test_a_folder_leads_nowhere_else(page, name):
    page.publish_folder = name
    with pytest.raises(CopyFailed):
        static_copy.folder_of(page)


def test_a_link_in_the_folder_leads_nowhere_else(page, folder, tmp_path):
    (folder / "acme").symlink_to(tmp_path)
    with pytest.raises(CopyFailed):
        static_copy.folder_of(page)


def test_a_listing_cannot_name_files_outside(tmp_path):
    copy, other = tmp_path / "copy", tmp_path / "other.txt"
    copy.mkdir()
    other.write_text("somebody's")
    (copy / static_copy.LISTING).write_text(json.dumps(["../other.txt", "index.html"]))
    static_copy.withdraw(copy)
    assert other.exists()


@pytest.mark.parametrize("change", [{"visibility": "signed_in"}, {"enabled": False}])
def test_a_page_that_is_no_longer_for_everybody_is_taken_away(page, folder, change):
    static_copy.publish(page, AT)
    Page.objects.filter(pk=page.pk).update(**change)
    row = again(page)
    assert static_copy.due(row, row.projection.digest, AT) and static_copy.publish(row, AT) == ""
    assert names(folder) == set() and again(page).published_digest == ""
    assert not static_copy.due(again(page), row.projection.digest, AT + timedelta(days=1))


def test_when_a_copy_is_due(page):
    digest, later = page.projection.digest, AT + timedelta(seconds=10)
    assert static_copy.due(page, digest, AT)
    static_copy.publish(page, AT)
    assert not static_copy.due(again(page), digest, later)
    assert static_copy.due(again(page), "another", later), "it changed"
    assert static_copy.due(again(page), digest, AT + static_copy.AGAIN), "its time should say that the portal lives"
    Page.objects.update(publish_error="no")
    assert not static_copy.due(again(page), "another", later), "after trouble a minute passes"
    assert static_copy.due(again(page), digest, AT + static_copy.AFTER_TROUBLE)


def test_the_loop_writes_what_is_due(page, folder):
    projector.Copyist().step()
    assert "acme/status/index.html" in names(folder)


# --- The operator's command -------------------------------------------------------------------------------------------------
def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_command_gets_the_folder_and_no_key_of_the_portal(page, folder, settings, tmp_path):
    note = tmp_path / "note"
    settings.PUBLISH_COMMAND = command(
        f"import os, sys, json; json.dump([sys.argv[1:], sorted(os.environ)], open({str(note)!r}, 'w'))"
    )
    assert static_copy.publish(page, AT) == ""
    given, environment = json.loads(note.read_text())
    assert given == [str(folder / "acme/status")]
    assert not {"SECRET_KEY", "ENCRYPTION_KEYS", "DATABASE_URL"} & set(environment) and "PATH" in environment


def test_what_the_command_says_stays_in_the_log(page, settings, caplog):
    settings.PUBLISH_COMMAND = command("import sys; print('bucket-key-123'); sys.exit(3)")
    trouble = static_copy.publish(page, AT)
    row = again(page)
    assert "ended with 3" in trouble and row.publish_error == trouble and "bucket" not in trouble
    assert "bucket-key-123" in caplog.text and row.published_digest == "", "it will be tried again"
    settings.PUBLISH_COMMAND = []
    assert static_copy.publish(row, AT + timedelta(minutes=1)) == "" and again(page).publish_error == ""


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path):
    with pytest.raises(CopyFailed, match="took longer"):
        static_copy.carry(
            tmp_path,
            command("import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"),
            0.5,
        )


def test_a_command_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CopyFailed, match="could not be started"):
        static_copy.carry(tmp_path, ["/nowhere/rsync"])


# --- manage.py publish_pages --------------------------------------------------------------------------------------------------
def test_publish_pages_writes_all_that_have_a_folder(page, folder):
    showing.build(showing.page(cast.globex()))
    out = StringIO()
    call_command("publish_pages", stdout=out)
    assert (
        "1 written" in out.getvalue()
        and "acme/status/index.html" in names(folder)
        and "globex" not in str(names(folder))
    )


def test_publish_pages_names_what_it_will_not_write(page, settings):
    with pytest.raises(CommandError, match="no page nowhere"):
        call_command("publish_pages", "nowhere")
    Page.objects.update(visibility="signed_in")
    with pytest.raises(CommandError, match="only a page for everybody"):
        call_command("publish_pages", "acme")
    settings.PUBLISH_FOLDER = ""
    with pytest.raises(CommandError, match="PUBLISH_FOLDER is empty"):
        call_command("publish_pages")


def test_no_byte_of_a_copy_carries_what_is_private(folder):
    static_copy.publish(ready(planted()), AT)
    for path in folder.rglob("*"):
        if path.is_file():
            assert [word for word in SECRETS if word.encode() in path.read_bytes()] == [], path
