"""A change of a setting leaves every other line as it is, and the tables of targets."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from reconciler.config.document import change_config, read_document
from reconciler.config.home import Home
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from pathlib import Path

LISTEN = "127.0.0.1:2"
TABLE = '\n[[notify]]  # the team\nname = "chat"\nkind = "slack"\nurl = "https://a.example/x"\n'


def test_a_setting_is_written_above_the_targets(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.config.write_text(f'listen = "127.0.0.1:1"\nallow_addresses = ["::1/128"]\n{TABLE}')
    change_config(home, {"listen": LISTEN, "public_url": "https://127.0.0.1:2"})
    document = tomllib.loads(home.config.read_text())
    assert document["notify"] == tomllib.loads(TABLE)["notify"]
    assert (document["listen"], document["public_url"]) == ("127.0.0.1:2", "https://127.0.0.1:2")
    assert read_document(home).keys() == {"listen", "public_url", "allow_addresses"}


@pytest.mark.parametrize("key", ["listen", '"listen"', "'listen'", " listen "])
def test_a_key_in_any_spelling_is_found(tmp_path: Path, key: str) -> None:
    home = Home(tmp_path)
    home.config.write_text(f'# ours\r\n{key}= "127.0.0.1:1"  # here\r\nref = "main"\r\n')
    change_config(home, {"listen": LISTEN})
    assert home.config.read_text() == f'# ours\nlisten = "{LISTEN}"  # here\nref = "main"\n'


@pytest.mark.parametrize("value", ["""'''\n127.0.0.1:1'''""", '[\n  "127.0.0.1:1",\n]'])
def test_a_value_of_several_lines_is_left_and_told(tmp_path: Path, value: str) -> None:
    home = Home(tmp_path)
    text = f"listen = {value}\n"
    home.config.write_text(text)
    with pytest.raises(NeedsEdit, match="each must be on a line of its own"):
        change_config(home, {"listen": LISTEN})
    assert home.config.read_text() == text
