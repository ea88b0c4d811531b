"""Plans of other tools beside ours: 10,000 records, a file each, of which none changes.

`make bench-peers` installs octoDNS into `.peers`, by hash. terraform runs where it is on PATH.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.plans import GRANTS, gateway, make_warm
from benchmarks.processes import Commands, pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.processes import Pairs

OCTODNS: Final = Path(__file__).parents[1] / ".peers" / "bin" / "octodns-sync"
ROUNDS: Final = 3
REPORT: Final = Path("build/bench-peers.json")

_CONFIG: Final = """
providers:
  source:
    class: octodns.provider.yaml.YamlProvider
    directory: ./source
    split_extension: .tst
    split_catchall: false
    disable_zonefile: true
    enforce_order: false
  target:
    class: octodns.provider.yaml.YamlProvider
    directory: ./target
    enforce_order: false
zones:
  unit.tests.:
    sources: [source]
    targets: [target]
"""
_RECORD: Final = "grant-{number:06}:\n  type: A\n  ttl: 300\n  values: [10.0.{high}.{low}]\n"


def main() -> None:
    """Print the figures, and write them to `build/bench-peers.json`."""
    taken = []
    for figure in figures():
        print(figure, flush=True)
        taken.append(figure.as_json())
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(taken, indent=1) + "\n")


def figures() -> Iterator[Pairs]:
    """Yield our plans against each peer that is there."""
    with gateway(GRANTS) as ours, tempfile.TemporaryDirectory(prefix="mosaic-bench-") as name:
        make_warm(ours)
        for peer, words in _peers(Path(name)):
            theirs = Commands(Path(name), {})
            for state, flags in (("warm", ()), ("cold", ("--verify",))):
                yield pair(
                    f"no-op plan of {GRANTS:,}, {state}",
                    partial(ours.mosaic, "plan", *flags, "manifests"),
                    f"{peer}, as many records",
                    partial(theirs.run, words),
                    rounds=ROUNDS,
                )


def _peers(folder: Path) -> Iterator[tuple[str, list[str]]]:
    if OCTODNS.exists():
        _make_zone(folder)
        yield "octoDNS", [str(OCTODNS), "--quiet", "--config-file", "config.yaml"]
    terraform = shutil.which("terraform")
    if terraform is not None:
        _make_resources(folder)
        Commands(folder, {}).run([terraform, "init", "-no-color"])
        Commands(folder, {}).run([terraform, "apply", "-no-color", "-auto-approve"])
        yield "terraform", [terraform, "plan", "-no-color"]


def _make_zone(folder: Path) -> None:
    source = folder / "source" / "unit.tests.tst"
    source.mkdir(parents=True)
    (folder / "target").mkdir()
    records = [
        _RECORD.format(number=number, high=number // 256, low=number % 256)
        for number in range(GRANTS)
    ]
    for number, record in enumerate(records):
        (source / f"grant-{number:06}.yaml").write_text(f"---\n{record}")
    (folder / "target" / "unit.tests.yaml").write_text("---\n" + "".join(records))
    (folder / "config.yaml").write_text(_CONFIG)


def _make_resources(folder: Path) -> None:
    """Write resources that need no provider but terraform's own."""
    for number in range(GRANTS):
        text = f'resource "terraform_data" "grant_{number}" {{\n  input = "{number}"\n}}\n'
        (folder / f"grant_{number}.tf").write_text(text)


if __name__ == "__main__":
    main()
