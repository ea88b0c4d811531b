"""Which names are those of manifests."""

from __future__ import annotations

from typing import Final

SUFFIXES: Final = (".yaml", ".yml")


def is_declaring(path: str, prefix: str) -> bool:
    """Tell whether a path of the repository is read as a manifest of the source at `prefix`."""
    if not path.startswith(prefix) or not path.endswith(SUFFIXES):
        return False
    return not any(part.startswith(".") for part in path[len(prefix) :].split("/"))
