"""Random command lines over the real command tree: every verb, every option, and any words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click
from hypothesis import strategies as st

from reconciler.cli.main import mosaic

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str, ...]

FILES: Final = ("manifests", "manifests/beta.yaml", "binary", "empty", "latin1.json", "folder")
WORDS: Final = (
    *("", " ", "-", "--", "---", "0", "-1", "1", "9" * 40, "1e999", "NaN", "true", "null", "None"),
    *("a", "b", "c", "beta", "nobody", "A", "a/b", "grant/a", "peer/beta", "grant/", "grant"),
    *("\x1b[31m", "a\nb", "a\tb", "M\xfcnchen \u2026", "\u202e", "\U0001f600", "%s%n{0}", "'; --"),
    *(os.fsdecode(b"\xff"), os.fsdecode(b"M\xfcnchen"), "x" * 300, "\x7f", "\x01"),
    *("1h", "7d", "90d", "999999d", "999999d999999h", "-5m", "2026-11-28", "9999-12-31T23:59:59Z"),
    *("0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59", "30%", "1000%"),
    *(".", "..", "/dev/null", "nonexistent/x", "/proc/self/mem", "/etc/shadow/x", *FILES),
    *("https://x.example/", "http://[", "https://a:b@c.example", "file:///etc/passwd", "ssh://-o"),
    *("https://127.0.0.1:1/federation/v1/enroll#token=x,ca=sha256:00", "git@:x", "::", "a::b"),
    *("host:1", "127.0.0.1:0", "[::1]:99999", "unix:/x", ":", "1.2.3", "1.3.6.1.4.1.99999"),
    *("HEAD", "--upload-pack=x", "refs/heads/x", "sha256:00", "serial:1", "0x0", "5e60fd5e"),
    *("{", "[" * 2000, '{"resources": []}', '{"resources": [{"type": "\\u0000"}]}', "{}"),
    '{"resources": [{"type": "tasks", "verbs": ["list"]}], "maxRowsPerQuery": 5}',
    '{"resources": [{"type": "tasks", "verbs": ["list"], "filter": {"teams": ["\\ud800"]}}]}',
)
ENDLESS: Final = ("watch", "follow")  # options with which a verb goes on until a signal
INPUTS: Final = (b"", b"\xff\xfe\x00", b"{}", b"y\n", b"\x00" * 100, "M\xfcnchen".encode("latin-1"))


def commands(group: click.Group, path: Path = ()) -> Iterator[tuple[Path, click.Command]]:
    """Yield every verb of a group, with the words that lead to it."""
    context = click.Context(group, **mosaic.context_settings)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


VERBS: Final = dict(commands(mosaic))

# no slash at random: what is written is written below the test's own folder
any_word: Final = st.sampled_from(WORDS) | st.text(
    st.characters(exclude_characters="\0/"), max_size=20
)


def _value(parameter: click.Parameter) -> st.SearchStrategy[str]:
    kind = parameter.type
    likely: list[str] = []
    if isinstance(kind, click.Choice):
        likely = [str(each) for each in kind.choices]
    elif isinstance(kind, click.IntRange):
        likely = ["1", "50"]
    elif kind.name == "duration":
        likely = ["1s", "1h"]
    elif kind.name == "kind/name":
        likely = ["grant/a", "grant/b", "peer/beta", "grant/nobody"]
    elif parameter.name in ("name", "peer", "subject"):
        likely = ["a", "b", "beta"]
    return st.one_of(*([st.sampled_from(likely)] if likely else []), any_word)


@st.composite
def arguments(draw: st.DrawFn, verbs: Any) -> list[str]:
    """Return the words after `mosaic`: a verb with some of its options, right and wrong ones."""
    path = draw(verbs)
    words: list[str] = []
    for parameter in VERBS[path].params:
        if isinstance(parameter, click.Argument):
            count = draw(st.integers(0, 3)) if parameter.nargs == -1 else 1
            words += [draw(_value(parameter)) for _ in range(count)]
        elif parameter.name in ENDLESS:
            continue
        elif draw(st.integers(0, 9)) < (5 if parameter.required else 2):
            name = draw(st.sampled_from([*parameter.opts, *parameter.secondary_opts]))
            flag = isinstance(parameter, click.Option) and parameter.is_flag
            words += [name] if flag else [name, draw(_value(parameter))]
    if draw(st.integers(0, 9)) == 0:
        words.insert(draw(st.integers(0, len(words))), draw(any_word))
    return [*path, *words]
