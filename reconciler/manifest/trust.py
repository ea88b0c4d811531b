"""The rules of trust as YAML (`.mosaic-trust.yaml`), and what they compile to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from reconciler.core.trust import RULES_FILE, Rule, Rules
from reconciler.errors import InvalidManifests, Problem
from reconciler.manifest.explain import explain
from reconciler.manifest.models import Model
from reconciler.manifest.reader import read_documents

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
    documents = read_documents(RULES_FILE, text.encode())
    if len(documents) != 1:
        message = f"got {len(documents)} documents, expected one with the rules of trust"
        raise InvalidManifests([Problem(RULES_FILE, 1, 1, "file.empty", "", message)])
    document = documents[0]
    problems = list(document.problems)
    model = None
    try:
        model = TrustRules.model_validate(document.value)
    except ValidationError as error:
        problems.extend(explain(error, TrustRules, document))
    if model is not None:
        problems.extend(_unreachable(model))
    if problems or model is None:
        raise InvalidManifests(problems)
    return Rules(
        tuple(
            Rule(tuple(each.paths), frozenset(each.signers), each.widening) for each in model.rules
        ),
        frozenset(model.rules_change.signers),
        model.rules_change.quorum,
    )


def _unreachable(model: TrustRules) -> list[Problem]:
    """Return a problem for each number of signers that there are not."""
    asked = [
        (f"rules[{index}].widening", each.widening, each.signers)
        for index, each in enumerate(model.rules)
    ]
    change = model.rules_change
    asked.append(("rulesChange.quorum", change.quorum, change.signers))
    return [
        Problem(
            RULES_FILE, 1, 1, "trust.quorum", path,
            f"got {count}, and there are {len(set(signers))} signers", "name more, or ask fewer",
        )
        for path, count, signers in asked
        if count > len(set(signers))
    ]  # fmt: skip
