"""Each verb is described once: by its module's docstring, whose first line the help lists."""

from __future__ import annotations

import inspect
import re
import sys
from typing import TYPE_CHECKING, Final

import click
import pytest

from reconciler.cli.main import federation, mosaic
from reconciler.cli.shared.command_group import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP: Final = click.Context(federation, info_name="federation", parent=click.Context(mosaic))
NOT_IMPERATIVE: Final = re.compile(r"(A|An|The|What|Whether|Which|How|It|\w*[^s]s|\w+ing)\b")


def commands(context: click.Context) -> Iterator[tuple[LazyGroup, str, click.Command]]:
    """Yield every verb and every group, with the group that lists it."""
    group = context.command
    assert isinstance(group, LazyGroup)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield group, name, command
        if isinstance(command, LazyGroup):
            yield from commands(click.Context(command, info_name=name, parent=context))


COMMANDS: Final = [
    pytest.param(group, name, command, id=f"{group.name} {name}")
    for group, name, command in commands(TOP)
]


@pytest.mark.parametrize(("group", "name", "command"), COMMANDS)
def test_the_line_of_a_verb_is_the_first_of_its_help(
    group: LazyGroup, name: str, command: click.Command
) -> None:
    assert command.help is not None
    assert inspect.cleandoc(command.help).splitlines()[0] == group.description(name)


@pytest.mark.parametrize(("group", "name", "command"), COMMANDS)
def test_the_line_of_a_verb_is_one_sentence_in_the_imperative(
    group: LazyGroup, name: str, command: click.Command
) -> None:
    line = group.description(name)
    assert re.fullmatch(r"[A-Z][a-z]+ .*[^.]\.", line), line
    assert not NOT_IMPERATIVE.match(line), line


@pytest.mark.parametrize(("group", "name", "command"), COMMANDS)
def test_the_help_lists_a_verb_on_one_line_of_80_columns(
    group: LazyGroup, name: str, command: click.Command
) -> None:
    formatter = click.HelpFormatter(width=78)  # click leaves two columns of a terminal free
    group.format_commands(TOP, formatter)
    listed = re.findall(rf"^  {name} +(.+)$", formatter.getvalue(), re.MULTILINE)
    assert listed == [group.description(name)]


@pytest.mark.parametrize(("group", "name", "command"), COMMANDS)
def test_a_verb_is_described_by_its_module_and_nowhere_else(
    group: LazyGroup, name: str, command: click.Command
) -> None:
    callback = command.callback  # a group has none
    module = callback.__module__ if callback is not None else f"reconciler.cli.{name}"
    assert command.help == sys.modules[module].__doc__
    assert callback is None or callback.__doc__ is None
    assert command.short_help is None


def test_the_help_has_the_heading_of_each_room_and_its_verbs_below_it() -> None:
    assert isinstance(federation, LazyGroup)
    formatter = click.HelpFormatter(width=80)
    federation.format_commands(TOP, formatter)
    shown = re.findall(r"^(\S.*):$|^  (\S+) ", formatter.getvalue(), re.MULTILINE)
    rooms = [(room.heading, *room.verbs) for room in federation.rooms]
    assert [heading or verb for heading, verb in shown] == [each for room in rooms for each in room]
