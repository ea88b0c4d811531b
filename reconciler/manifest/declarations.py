"""What a text of manifests declares, by kind and name."""

from __future__ import annotations

from typing import Final

from reconciler.core.model.spec import Kind, PeerSpec, Spec
from reconciler.core.source import SourceFile
from reconciler.manifest.load import declared_in

FILE: Final = "manifest.yaml"  # what a text is called that has no file

Key = tuple[Kind, str]
Specs = dict[Key, Spec]


def specs_of(text: str, file: str = FILE) -> Specs:
    """Return what a text declares, in its order; raise `InvalidManifests` else."""
    declared = declared_in(SourceFile(file, text.encode()))
    return {(kind_of(each.spec), each.name): each.spec for each in declared}


def kind_of(spec: Spec) -> Kind:
    """Return which kind of manifest declares a spec."""
    return Kind.PEER if isinstance(spec, PeerSpec) else Kind.GRANT
