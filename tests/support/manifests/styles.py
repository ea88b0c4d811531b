"""Manifests as people write them: every style, with comments wherever YAML has room for one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import assume
from hypothesis import strategies as st

from reconciler.core.model.spec import Kind, PeerSpec, kind_of
from reconciler.errors import InvalidManifests
from reconciler.manifest.load import specs_of
from reconciler.manifest.models import API_VERSION
from reconciler.manifest.write import spec_document
from tests.support.manifests.strategies import grant_specs, peer_specs

if TYPE_CHECKING:
    from reconciler.core.model.spec import Spec

NOTES = ("# a note", "#", "# get: waits, {for} [legal]", "#'\"", "# größer 😀", "#  - x: |")


@dataclass
class Author:
    """Writes plain values as YAML, with a style of each draw."""

    draw: st.DrawFn
    lines: list[str] = field(default_factory=list)

    def flip(self) -> bool:
        return self.draw(st.booleans())

    def rarely(self) -> bool:
        return self.draw(st.integers(0, 4)) == 4

    def note(self) -> str:
        return self.draw(st.sampled_from(NOTES))

    def end(self) -> str:
        """Return what may stand at the end of a line: nothing, space, or a comment."""
        ending = self.draw(st.sampled_from(("", "", "", " ", "note", "tab")))
        if ending == "note":
            return f"  {self.note()}"
        return f"\t{self.note()}" if ending == "tab" else ending

    def between(self, indent: int) -> None:
        """Write what may stand between two lines."""
        for _ in range(self.draw(st.sampled_from((0, 0, 0, 1, 2)))):
            other = self.draw(st.sampled_from((indent, indent, 0, indent + 3)))
            self.lines.append(" " * other + self.note() if self.flip() else "")

    def mapping(self, value: dict[str, Any], indent: int) -> None:
        items = list(value.items())
        if self.rarely():
            items = self.draw(st.permutations(items))
        for name, each in items:
            self.between(indent)
            self.entry(" " * indent, name, each, indent)

    def entry(self, head: str, name: str, value: Any, indent: int) -> None:
        key = self.draw(st.sampled_from((name, f'"{name}"', f"'{name}'", f"{name} ")))
        if self.rarely():
            self.lines.append(f"{head}? {key}{self.end()}")
            head = f"{' ' * indent}:"
        else:
            head = f"{head}{key}:"
        self.value(head, value, indent)

    def value(self, head: str, value: Any, indent: int) -> None:
        """Write a value behind a colon or a dash."""
        step = self.draw(st.integers(1, 4))
        match value:
            case dict() if value and self.flip():
                self.lines.append(f"{head}{self.end()}")
                self.mapping(value, indent + step)
            case list() if value and self.flip():
                self.lines.append(f"{head}{self.end()}")
                self.sequence(value, indent + step - 1 if head.endswith(":") else indent + step)
            case dict() | list():
                self.lines.append(f"{head} ")
                self.flow(value, self.draw(st.integers(0, indent + 6)))
                self.lines[-1] += self.end()
            case str() if self.rarely():
                style = self.draw(st.sampled_from(("|-", ">-", f"|{step}-")))
                self.between_blank()
                self.lines.append(f"{head} {style}{self.end()}")
                self.lines += ["" for _ in range(self.draw(st.sampled_from((0, 0))))]
                self.lines.append(" " * (indent + step) + value)
                self.lines += [""] * self.draw(st.sampled_from((0, 0, 1)))
            case str() if " " in value and self.rarely():
                first, _, rest = value.partition(" ")
                quote = self.draw(st.sampled_from(("", "'", '"')))
                self.lines.append(f"{head} {quote}{first} ")
                self.lines.append(" " * (indent + step) + f"{rest}{quote}{self.end()}")
            case _ if self.rarely():
                self.lines.append(f"{head}{self.end()}")
                self.between(indent + step)
                self.lines.append(" " * (indent + step) + self.scalar(value) + self.end())
            case _:
                space = " " * self.draw(st.integers(1, 3))
                self.lines.append(f"{head}{space}{self.scalar(value)}{self.end()}")

    def between_blank(self) -> None:
        if self.rarely():
            self.lines.append("")

    def sequence(self, value: list[Any], indent: int) -> None:
        for each in value:
            self.between(indent)
            dash = f"{' ' * indent}-"
            if isinstance(each, dict) and each and self.flip():
                (name, first), *rest = each.items()
                space = " " * self.draw(st.integers(1, 3))
                inner = indent + 1 + len(space)
                self.entry(f"{dash}{space}", name, first, inner)
                self.mapping(dict(rest), inner)
            else:
                self.value(dash, each, indent)

    def flow(self, value: Any, indent: int) -> None:
        """Write a value in braces or brackets at the end of the last line."""
        if not isinstance(value, dict | list):
            self.lines[-1] += self.scalar(value, flow=True)
            return
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        self.lines[-1] += opening
        pairs = value.items() if isinstance(value, dict) else [(None, each) for each in value]
        for index, (name, each) in enumerate(pairs):
            if index:
                self.lines[-1] += ", " if self.flip() else ","
            self.flow_break(indent)
            if name is not None:
                self.lines[-1] += f"{self.draw(st.sampled_from((name, repr(name))))}: "
            self.flow(each, indent)
        if value and self.rarely():
            self.lines[-1] += ","
        self.flow_break(indent)
        self.lines[-1] += closing

    def flow_break(self, indent: int) -> None:
        if self.rarely():
            self.lines[-1] += f" {self.note()}" if self.flip() else self.end()
            self.between(indent)
            self.lines.append(" " * max(indent, 1))

    def scalar(self, value: Any, *, flow: bool = False) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, str):
            return str(value)
        plain = [value] if not flow or ":" not in value else []
        return self.draw(st.sampled_from([*plain, f'"{value}"', f"'{value}'"]))


def document(name: str, spec: Spec) -> dict[str, Any]:
    """Return a manifest as plain values."""
    kind = Kind.PEER if isinstance(spec, PeerSpec) else Kind.GRANT
    metadata: dict[str, Any] = {"name": name}
    if isinstance(spec, PeerSpec) and spec.labels:
        metadata["labels"] = dict(spec.labels)
    return {
        "apiVersion": API_VERSION,
        "kind": str(kind),
        "metadata": metadata,
        "spec": spec_document(spec),
    }


@st.composite
def files(draw: st.DrawFn) -> tuple[str, dict[str, Spec]]:
    """Draw the text of a file, and what it declares by name."""
    specs: dict[str, Spec] = {"beta": draw(peer_specs())}
    if draw(st.booleans()):
        specs["orders"] = draw(grant_specs(("beta",)))
    author = Author(draw)
    for index, (name, spec) in enumerate(draw(st.permutations(list(specs.items())))):
        author.between(0)
        if not index and draw(st.integers(0, 4)) == 4:
            author.lines += ["%YAML 1.2", "---"]
        elif index or author.flip():
            author.lines.append("---" + author.end())
        author.between(0)
        if author.rarely():
            author.lines.append("")
            author.flow(document(name, spec), 2)
            author.lines[-1] += author.end()
        else:
            author.mapping(document(name, spec), 0)
        if author.rarely():
            author.lines.append("..." + author.end())
    author.between(0)
    newline = draw(st.sampled_from(("\n", "\n", "\r\n")))
    text = newline.join(author.lines) + draw(st.sampled_from((newline, newline, "")))
    text = draw(st.sampled_from(("", "", "\ufeff"))) + text
    assume(declares(text, specs))  # not all that a person may type is YAML
    return text, specs


def declares(text: str, specs: dict[str, Spec]) -> bool:
    try:
        return specs_of(text) == {(kind_of(spec), name): spec for name, spec in specs.items()}
    except InvalidManifests:
        return False
