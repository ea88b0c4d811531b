"""Whatever a file of manifests looks like: an edit changes what is asked for, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.model.spec import GrantSpec, Kind, PeerSpec, kind_of
from reconciler.manifest.edit import edited, renamed
from reconciler.manifest.formatter import formatted
from reconciler.manifest.load import specs_of
from reconciler.manifest.yaml.reader import read_documents
from tests.support.manifests.strategies import grant_specs, peer_specs
from tests.support.manifests.styles import files

if TYPE_CHECKING:
    from reconciler.core.model.spec import Spec

some = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def notes(text: str) -> list[str]:
    """Return the comments of a text: those drawn have marks that no value has."""
    plain = text.removeprefix("\ufeff")
    matches = re.findall(r"(?:^|(?<=[\s{\[,]))#[^\r\n]*", plain, re.MULTILINE)
    return [note.rstrip() for note in matches]


def blank_lines(text: str) -> int:
    lines = re.split(r"\r?\n", text.removeprefix("\ufeff").rstrip())
    return sum(not line.strip() for line in lines)


def values(text: str) -> list[object]:
    return [document.value for document in read_documents("x", text.encode())]


@some
@given(files())
def test_the_layout_keeps_comments_blank_lines_and_values(
    file: tuple[str, dict[str, Spec]],
) -> None:
    text, specs = file
    made = formatted(text)
    assert notes(made) == notes(text)
    assert blank_lines(made) == blank_lines(text)
    assert values(made) == values(text)
    assert specs_of(made) == {(kind_of(spec), name): spec for name, spec in specs.items()}
    assert formatted(made) == made
    assert not re.search(r"[ \t]\n|\r", made)


@some
@given(files(), st.data())
def test_an_edit_declares_what_was_asked_for_beside_every_comment(
    file: tuple[str, dict[str, Spec]], data: st.DataObject
) -> None:
    text, specs = file
    name = data.draw(st.sampled_from(sorted(specs)))
    old = specs[name]
    kind = kind_of(old)
    assert edited(text, kind, name, old) == text
    others: st.SearchStrategy[Spec] = peer_specs() if kind is Kind.PEER else grant_specs(("beta",))
    new = data.draw(others)
    made = edited(text, kind, name, new)
    wanted = {**specs, name: new}
    assert specs_of(made) == {(kind_of(spec), each): spec for each, spec in wanted.items()}
    assert notes(made) == notes(text)
    assert blank_lines(f"{made}x") == blank_lines(f"{text}x")
    assert made.startswith("\ufeff") == text.startswith("\ufeff")
    assert ("\r\n" in made) == ("\r\n" in text)


@some
@given(files(), st.data())
def test_one_value_that_changes_leaves_every_other_byte(
    file: tuple[str, dict[str, Spec]], data: st.DataObject
) -> None:
    text, specs = file
    name = data.draw(st.sampled_from(sorted(specs)))
    old = specs[name]
    if isinstance(old, PeerSpec):
        before, after = old.display_name, "Another"
        made = edited(text, Kind.PEER, name, replace(old, display_name=after))
    else:
        before, after = str(old.scope.max_rows_per_query), "4711"
        other = replace(old.scope, max_rows_per_query=4711)
        made = edited(text, Kind.GRANT, name, replace(old, scope=other))
    start = next(
        (i for i, (one, two) in enumerate(zip(text, made, strict=False)) if one != two),
        min(len(text), len(made)),
    )
    tail = next(
        i
        for i, (one, two) in enumerate(zip(reversed(text), reversed(made), strict=False))
        if one != two
    )
    # the comment of a block scalar's header stays, beside a value that is no block any more
    gone, new = (
        re.sub(r"\s+", " ", re.sub(r"[ \t]+#.*", "", part))
        for part in (text[start : len(text) - tail], made[start : len(made) - tail])
    )
    assert gone in f"x {before} {before}" or gone.strip("'\"|->012345 ") in before
    assert new.strip("'\" ") in after


@some
@given(files(), st.sampled_from(["gamma", "no", "12", "a-b"]))
def test_a_rename_changes_names_alone(file: tuple[str, dict[str, Spec]], new: str) -> None:
    text, specs = file
    made = renamed(text, Kind.PEER, "beta", new)
    wanted = {new if name == "beta" else name: spec for name, spec in specs.items()}
    for name, spec in wanted.items():
        if isinstance(spec, GrantSpec):
            wanted[name] = replace(spec, peer=new)
    assert specs_of(made) == {(kind_of(spec), name): spec for name, spec in wanted.items()}
    assert notes(made) == notes(text)
    lines = [Counter(re.split(r"\r?\n", each)) for each in (text, made)]
    assert (lines[0] - lines[1]).total() <= 2 * len(specs)
    back = renamed(made, Kind.PEER, new, "beta")
    assert specs_of(back) == specs_of(text)
