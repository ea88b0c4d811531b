"""The rules of trust as YAML (`.mosaic-trust.yaml`), and what they compile to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from reconciler.core.model.spec import kind_of
from reconciler.core.source import SourceFile
from reconciler.core.trust.commits import Trusted, judge_commits
from reconciler.core.trust.rules import RULES_FILE, Rule, Rules, signer_name
from reconciler.errors import InvalidManifests, Problem
from reconciler.manifest.load import declared_in
from reconciler.manifest.models import Model
from reconciler.manifest.validation_errors import explain
from reconciler.manifest.yaml.reader import read_documents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.model.commits import History
    from reconciler.core.model.spec import Kind, Spec
    from reconciler.core.trust.claims import Claim, Lineage, Step
    from reconciler.manifest.yaml.reader import Document, Path

Signer = Annotated[str, Field(min_length=1, max_length=255)]
Glob = Annotated[str, Field(min_length=1, max_length=255)]
Count = Annotated[int, Field(ge=1, le=100)]


class RuleModel(Model):
    """Who may change the paths that match, and how many must have signed off a widening there."""

    paths: Annotated[list[Glob], Field(min_length=1)]
    signers: Annotated[list[Signer], Field(min_length=1)]
    widening: Count = 1


class RulesChangeModel(Model):
    """Who may change this file, and how many of them must have signed a change off."""

    signers: Annotated[list[Signer], Field(min_length=1)]
    quorum: Count = 1


class TrustRules(Model):
    """Who may change what, in the repository that holds this file at its root."""

    api_version: Literal["federation.mosaicstack.dev/v1"]
    kind: Literal["TrustRules"]
    rules: list[RuleModel]
    rules_change: RulesChangeModel


def parse_rules(text: str) -> Rules:
    """Return the rules of a text.

    Raises:
        InvalidManifests: with every problem, at its line and column.
    """
    model, problems = _read(RULES_FILE, text.encode())
    if problems or model is None:
        raise InvalidManifests(problems)
    return Rules(
        tuple(Rule(tuple(each.paths), _names(each.signers), each.widening) for each in model.rules),
        _names(model.rules_change.signers),
        model.rules_change.quorum,
    )


def judge_history(
    history: History, lineage: Lineage | None, rules: str | None, since: str | None
) -> Trusted:
    """Return the commits of a history, once they are trusted by the text of the rules that hold.

    What a commit widens is traced back to `since`, with which the rules began to hold.

    Raises:
        Refused: `commit_untrusted`. InvalidManifests: as `parse_rules`.
    """
    parsed = parse_rules(rules) if rules is not None else None
    judge_commits(history.commits, parsed, history.prefix)

    def trace(claim: Claim) -> tuple[Step, ...]:
        return lineage.trace(claim, since, declarations) if lineage is not None else ()

    return Trusted(history.commits, parsed, history.prefix, history.relation, trace)


def declarations(path: str, content: bytes) -> Iterator[tuple[Kind, str, Spec]]:
    """Yield all that a file declares.

    Raises:
        InvalidManifests: with every problem of the file.
    """
    for each in declared_in(SourceFile(path, content)):
        yield kind_of(each.spec), each.name, each.spec


def _names(signers: list[str]) -> frozenset[str]:
    return frozenset(map(signer_name, signers))


def rules_problems(file: str, content: bytes) -> list[Problem]:
    """Return every problem of a file of rules."""
    return _read(file, content)[1]


def _read(file: str, content: bytes) -> tuple[TrustRules | None, list[Problem]]:
    documents = read_documents(file, content)
    if len(documents) != 1:
        message = f"got {len(documents)} documents, expected one with the rules of trust"
        line = documents[1].mark(())[0] if documents else 1
        return None, [Problem(file, line, 1, "file.empty", "", message)]
    (document,) = documents
    problems = list(document.problems)
    try:
        model = TrustRules.model_validate(document.value)
    except ValidationError as error:
        return None, [*problems, *explain(error, TrustRules, document)]
    return model, [*problems, *_unreachable(model, document)]


def _unreachable(model: TrustRules, document: Document) -> Iterator[Problem]:
    """Yield a problem for each number of signers that there are not."""
    counts: list[tuple[Path, int, list[str]]] = [
        (("rules", index, "widening"), each.widening, each.signers)
        for index, each in enumerate(model.rules)
    ]
    change = model.rules_change
    counts.append((("rulesChange", "quorum"), change.quorum, change.signers))
    for path, count, signers in counts:
        if count > len(_names(signers)):
            message = f"got {count}, and there are {len(_names(signers))} signers"
            hint = "add signers, or require fewer"
            yield document.problem(path, "trust.quorum", message, hint)
