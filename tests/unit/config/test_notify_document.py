"""A change of a setting leaves the tables of targets as they are, and stays out of them."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from reconciler.config.document import change_config, read_document
from reconciler.config.home import Home

if TYPE_CHECKING:
    from pathlib import Path

TABLE = '\n[[notify]]  # the team\nname = "chat"\nkind = "slack"\nurl = "https://a.example/x"\n'


def test_a_setting_is_written_above_the_targets(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.config.write_text(f'listen = "127.0.0.1:1"\nallow_addresses = ["::1/128"]\n{TABLE}')
    change_config(home, {"listen": "127.0.0.1:2", "public_url": "https://127.0.0.1:2"})
    document = tomllib.loads(home.config.read_text())
    assert document["notify"] == tomllib.loads(TABLE)["notify"]
    assert (document["listen"], document["public_url"]) == ("127.0.0.1:2", "https://127.0.0.1:2")
    assert read_document(home).keys() == {"listen", "public_url", "allow_addresses"}
