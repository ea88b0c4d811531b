"""Run the benchmarks and print their figures: `make bench`, or `make bench ARGS="plans growth"`.

All of them are in `build/bench.json` too, written after each subject: what was not run stays.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

SUBJECTS: Final = (
    *("plans", "growth", "queries", "manifests", "repositories"),
    *("enrollment", "authority", "revocations", "pages"),
)
REPORT: Final = Path("build/bench.json")


def main() -> None:
    """Print one row a figure: ours, the ratio, and the floor beside it."""
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    for subject in sys.argv[1:] or SUBJECTS:
        report[subject] = []
        for figure in import_module(f"benchmarks.{subject}").figures():
            print(figure, flush=True)
            report[subject].append(figure.as_json())
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
