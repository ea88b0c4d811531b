"""The one layout of manifests: two spaces, dashes indented, no trailing space, one line at the end.

What is said, comments and the order of keys stay as they were written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Refused
from reconciler.manifest.edit import rewritten, specs_of, split_documents

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap


def formatted(text: str) -> str:
    """Return the text of a file of manifests in the one layout.

    Raises:
        InvalidManifests: with every problem: what is invalid is not laid out.
        Refused: `state_conflict`: it would not say the same.
    """
    before = specs_of(text)
    parts: list[str] = []
    for document in split_documents(text):
        made = rewritten(document.text, _as_it_is, mapping=2, offset=2)
        head = "".join(f"{line.rstrip()}\n" for line in document.before.splitlines())
        parts.append(
            head + "".join(f"{line.rstrip()}\n" for line in made.splitlines()).rstrip("\n")
        )
    laid_out = "\n".join(parts) + "\n"
    if specs_of(laid_out) != before:
        raise Refused(
            "state_conflict", "it cannot be laid out without saying another thing", hint="leave it"
        )
    return laid_out


def _as_it_is(document: CommentedMap) -> None:
    pass
