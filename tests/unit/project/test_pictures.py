"""The README's pictures: each is there, is small, and `make pictures` takes it."""

from __future__ import annotations

import re

from tests.support.project.checkout import ROOT
from tools.pictures import IMAGES, MAX_SIZE, PICTURES


def test_the_readme_shows_the_pictures_that_are_taken_and_no_others() -> None:
    shown = re.findall(r"!\[[^]]{20,}\]\((docs/images/[^)]+)\)", (ROOT / "README.md").read_text())
    assert shown == [f"docs/images/{name}" for name, *_ in PICTURES]
    assert {each.name for each in IMAGES.iterdir()} == {name for name, *_ in PICTURES}


def test_each_picture_is_a_small_png() -> None:
    for name, *_ in PICTURES:
        content = (IMAGES / name).read_bytes()
        assert content.startswith(b"\x89PNG\r\n")
        assert len(content) < MAX_SIZE
