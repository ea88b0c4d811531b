"""What a build adds to the package: the commit that it is of, which `mosaic version` prints."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMMIT = "COMMIT"  # the file at the top of a source distribution


class CommitHook(BuildHookInterface[BuilderConfig]):
    """Writes the commit into a wheel and a source distribution; an editable one needs none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file, where the commit is known: `MOSAIC_COMMIT`, that of a release, or git's."""
        commit = os.environ.get("MOSAIC_COMMIT") or self._released() or self._checked_out()
        if version == "editable" or not commit:
            return
        file = Path(self.directory) / f".{COMMIT}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{commit}\n")
        target = COMMIT if self.target_name == "sdist" else "reconciler/_data/commit"
        build_data["force_include"][str(file)] = target

    def finalize(self, _version: str, _build_data: dict[str, Any], _artifact: str) -> None:
        """Remove what was written beside the artifact."""
        (Path(self.directory) / f".{COMMIT}").unlink(missing_ok=True)

    def _released(self) -> str:
        file = Path(self.root) / COMMIT
        return file.read_text().strip() if file.is_file() else ""

    def _checked_out(self) -> str:
        if not (Path(self.root) / ".git").exists():  # the repository of another project, above
            return ""
        words = ["git", "-C", self.root, "rev-parse", "HEAD"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError:
            return ""
        return done.stdout.strip()
