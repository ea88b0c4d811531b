"""The one layout of manifests: two spaces, dashes indented, no trailing space, one line at the end.

What is said, comments and the order of keys stay as they were written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Refused
from reconciler.manifest.documents import comments, specs_of, split_documents
from reconciler.manifest.edit import rewritten

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
    for document in split_documents(text.replace("\r\n", "\n")):
        made = document.before
        if document.key is not None:
            made += rewritten(document.text.lstrip(), _as_it_is, mapping=2, offset=2)
        elif not made.strip("- \t\n"):
            continue  # a marker after which nothing stands
        parts.append("\n".join(line.rstrip() for line in made.splitlines()).rstrip("\n"))
    laid_out = "\n".join(parts) + "\n"
    if specs_of(laid_out) != before or comments(text) - comments(laid_out):
        raise Refused(
            "state_conflict",
            "it cannot be laid out without saying another thing, or a comment less",
            hint="lay it out by hand",
        )
    return laid_out


def _as_it_is(document: CommentedMap) -> None:
    pass
