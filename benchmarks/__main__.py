"""Run every benchmark and print its figures: `make bench`."""

from __future__ import annotations

from benchmarks import authority, enrollment, manifests, pages, repositories, revocations


def main() -> None:
    """Print one row a figure: ours, the ratio, and the floor beside it."""
    for subject in (manifests, repositories, enrollment, authority, revocations, pages):
        for figure in subject.figures():
            print(figure, flush=True)  # noqa: T201 - this is what it is for


if __name__ == "__main__":
    main()
