"""The table of errors and the source agree: what is raised, of which kind, and what is answered."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from typing import Final

import pytest

from reconciler import errors
from reconciler.errors import (
    EXIT_MEANINGS,
    OUTCOMES,
    Defect,
    InvalidManifests,
    MosaicError,
    NeedsEdit,
    Refused,
    Retry,
)
from reconciler.web.openapi import CALLS, EVERYWHERE
from reconciler.web.problems import public_problem
from tests.support.project.checkout import ROOT

KINDS: Final = {kind.__name__: kind for kind in (Retry, Refused, NeedsEdit, Defect)}
PACKAGE: Final = ROOT / "reconciler"
# these say what a code means to a reader, and raise nothing
DESCRIPTIONS: Final = {
    PACKAGE / "errors.py",
    PACKAGE / "web/problems.py",
    PACKAGE / "web/openapi.py",
}
# codes that a module writes in the body of a response, without an error
BESIDE_CALLS: Final = {"method_not_allowed"}


@cache
def nodes() -> tuple[ast.AST, ...]:
    paths = (path for path in sorted(PACKAGE.rglob("*.py")) if path not in DESCRIPTIONS)
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in paths)
    return tuple(node for tree in trees for node in ast.walk(tree))


def raised() -> dict[str, set[str]]:
    """Return the kinds of error that the source makes with each code that it spells out."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for node in nodes():
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        code = node.args[0]
        if node.func.id in {*KINDS, "MosaicError"} and isinstance(code, ast.Constant):
            kinds[str(code.value)].add(node.func.id)
    return kinds


def test_every_error_that_the_source_raises_is_in_the_table_with_its_kind() -> None:
    raised_kinds = raised()
    assert len(raised_kinds) > 40
    assert raised_kinds == {code: {OUTCOMES[code].kind.__name__} for code in raised_kinds}


def test_a_kind_is_chosen_where_its_code_is() -> None:
    """No `kind = Retry if … else NeedsEdit`, which the tests above would not see."""
    kinds = set(KINDS)
    for path in sorted(PACKAGE.rglob("*.py")):
        if path in DESCRIPTIONS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign | ast.IfExp):
                values = (node.value,) if isinstance(node, ast.Assign) else (node.body, node.orelse)
                names = {value.id for value in values if isinstance(value, ast.Name)}
                assert not names & kinds, f"{path}:{node.lineno}"


def test_every_code_of_the_table_is_raised_somewhere() -> None:
    texts = {node.value for node in nodes() if isinstance(node, ast.Constant)}
    assert set(OUTCOMES) - texts == set()


def test_every_status_belongs_to_a_code_that_a_call_answers() -> None:
    answered = {code for call in CALLS for code in call.codes}
    answered |= {*EVERYWHERE, "not_found", *BESIDE_CALLS}
    assert {code for code, outcome in OUTCOMES.items() if outcome.status is not None} == answered


@pytest.mark.parametrize("code", OUTCOMES)
def test_an_error_of_another_kind_than_the_table_says_cannot_be_made(code: str) -> None:
    right = OUTCOMES[code].kind
    assert right(code, "the fact").exit_code in EXIT_MEANINGS
    for kind in {MosaicError, *KINDS.values()} - {right}:
        with pytest.raises(TypeError, match=f"{code} is a {right.__name__}"):
            kind(code, "the fact")


@pytest.mark.parametrize("code", OUTCOMES)
def test_a_wait_is_named_exactly_where_the_table_says_that_a_retry_can_help(code: str) -> None:
    problem = public_problem(OUTCOMES[code].kind(code, "the fact"))
    assert (problem.retry_after_s is not None) == (OUTCOMES[problem.code].kind is Retry)


def test_invalid_manifests_need_an_edit() -> None:
    assert OUTCOMES[InvalidManifests([]).code].kind is NeedsEdit
    assert set(KINDS.values()) == set(errors.MosaicError.__subclasses__())
