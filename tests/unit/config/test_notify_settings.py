"""Each key of a `[[notify]]` table is checked; an error names it, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.config.notify import read_targets
from reconciler.config.settings import Settings
from reconciler.core.notices.target import TargetKind
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from pathlib import Path

JSON = 'name = "hook"\nkind = "json"\nurl = "https://a.example/x"\nsecret_file = "s"\n'
FORGE = 'name = "forge"\nkind = "gitea"\nurl = "https://a.example"\n'


def settings(tmp_path: Path, *tables: str) -> Settings:
    file = tmp_path / "notify.toml"
    file.write_text("".join(f"[[notify]]\n{table}\n" for table in tables))
    return Settings(notify_file=file)


def test_targets_are_read_with_paths_beside_their_file(tmp_path: Path) -> None:
    forge = FORGE + 'token_file = "/t"\nrepository = "platform/grants"\n'
    chat = 'name = "chat"\nkind = "slack"\nurl_file = "u"\nevents = ["theft", "drift"]\n'
    hook, status, slack = read_targets(settings(tmp_path, JSON, forge, chat))
    assert hook.secret_file == str(tmp_path / "s")
    assert status.token_file == "/t"
    assert status.events == ("applied", "refused", "failing", "commit", "superseded")
    assert (slack.kind, slack.events) == (TargetKind.SLACK, ("theft", "drift"))
    assert "a.example" not in repr(hook)


@pytest.mark.parametrize(
    ("table", "message", "hint"),
    [
        ('kind = "json"', "name: it is missing", "write name"),
        ('name = "A b"', "name: got 'A b', expected a name such as", "correct it"),
        ('name = "a"\nkind = "slak"', "kind: 'slak' is not one of", "did you mean 'slack'?"),
        (JSON + 'evnts = ["x"]', "evnts: there is no such key", "did you mean 'events'?"),
        (JSON + 'source = "x"', "source: there is no such key", "above the first [[notify]]"),
        (JSON + 'events = ["thefts"]', "events: 'thefts' is not one of", "did you mean 'theft'?"),
        (JSON + 'events = "theft"', "events: expected a list", "such as"),
        (JSON + "events = []", "events: expected a list", "such as"),
        (JSON + 'token_file = "x"', "token_file: a target of kind json has no", "remove it"),
        (JSON.replace("https", "http"), "url: expected https://host/path", "by https"),
        (JSON.replace("a.example", "u:p@a.example"), "url: expected https", "by https"),
        (JSON.replace("a.example", "[::1"), "url: expected https", "by https"),
        (JSON.replace("a.example", "a.example:99999"), "url: expected https", "by https"),
        (JSON + 'url_file = "u"', "url_file: url is set too", "keep one"),
        (JSON.replace('secret_file = "s"', ""), "secret_file: it is missing", "openssl rand"),
        (FORGE + 'repository = "a/b"', "token_file: it is missing", "commit statuses"),
        (FORGE + 'token_file = "t"\nrepository = "a"', "repository: got 'a', expected", "correct"),
        (FORGE + 'events = ["theft"]', "events: a target of kind gitea has no", "remove it"),
        ('name = "a"\nkind = 5', "kind: got int, expected text", "correct it"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, table: str, message: str, hint: str) -> None:
    with pytest.raises(NeedsEdit) as caught:
        read_targets(settings(tmp_path, table))
    assert caught.value.code == "config_invalid"
    assert caught.value.message.startswith(f"{tmp_path}/notify.toml: notify 1")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "u:p" not in caught.value.message


def test_two_targets_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NeedsEdit, match="the name 'hook' is taken"):
        read_targets(settings(tmp_path, JSON, JSON))


def test_another_key_of_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notify.toml"
    file.write_text('listen = "x"\n')
    with pytest.raises(NeedsEdit, match="there is no key 'listen'"):
        read_targets(Settings(notify_file=file))
