"""The guides' pictures: is each one shown, small, and of a page as it is today? `make pictures` draws them anew (draw.py)."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from console import guides
from tests import cast
from tests.console.visiting import browser
from tests.playbooks.conftest import bell  # noqa: F401 - a fixture
from tests.walks.gallery import ADDRESS, BYTES, PICTURES, WIDE, Picture, signs, stage

pytestmark = pytest.mark.once


@pytest.fixture
def set_up(bell: Any, settings: Any) -> SimpleNamespace:  # noqa: F811
    """The stage of all pictures."""
    settings.BASE_URL = ADDRESS
    return stage()


def page_of(picture: Picture, s: SimpleNamespace) -> str:
    """What its page says of itself, as the server wrote it."""
    answer = browser(picture.who() if picture.who else None).get(picture.path(s))
    assert answer.status_code == 200, picture.path(s)
    return signs(answer.content.decode())


@pytest.mark.django_db
def test_every_picture_shows_its_page_as_it_is_today(set_up):
    aged = [
        name
        for name, picture in PICTURES.items()
        if page_of(picture, set_up) != (guides.PICTURES / f"{name}.txt").read_text(encoding="utf-8")
    ]
    assert not aged, f"their pages look different now; run `make pictures` and look at: {', '.join(aged)}"


def test_every_picture_is_in_its_guide_and_small():
    named = {name: re.findall(r"\(pictures/([^)]+)\)", (guides.DOCS / f"{name}.md").read_text()) for name in guides.GUIDES}  # fmt: skip
    wanted = {f"{name}.webp": picture.guide for name, picture in PICTURES.items()}
    assert {file: guide for guide, files in named.items() for file in files} == wanted
    assert all(len(files) <= 2 for files in named.values())
    assert {path.name for path in guides.PICTURES.iterdir()} == {*wanted, *(f"{name}.txt" for name in PICTURES)}
    for file in wanted:
        content = (guides.PICTURES / file).read_bytes()
        assert content[8:12] == b"WEBP" and len(content) <= BYTES, file


@pytest.mark.django_db
def test_a_guide_brings_its_pictures(client):
    reader = browser(cast.viewer())
    page = reader.get("/help/on-call/").content.decode()
    (first, second) = re.findall(r'<img src="(/help/pictures/[a-z-]+\.webp)" alt="" width="(\d+)" height="(\d+)"', page)
    assert first[1] == second[1] == str(WIDE) and "<figcaption>" in page
    picture = reader.get(first[0])
    assert picture.status_code == 200 and picture["Content-Type"] == "image/webp"
    assert reader.get("/help/pictures/nothing.webp").status_code == 404
    assert client.get(first[0])["Location"].startswith("/login/")
