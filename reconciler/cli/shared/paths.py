"""What a command is given as paths: folders, files and standard input, read as one source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.cli.shared.context import flags_given
from reconciler.cli.shared.input import read_standard_octets
from reconciler.core.model.text import printable
from reconciler.core.setting_values import SourceSetting, is_url
from reconciler.core.source import MAX_FILE, Source, SourceFile
from reconciler.core.trust.rules import RULES_FILE
from reconciler.errors import MosaicError, NeedsEdit, Problem
from reconciler.manifest.validation import declared_peers
from reconciler.source.names import content_problem
from reconciler.source.read import read_source
from reconciler.source.trust_rules import read_rules_of

if TYPE_CHECKING:
    from reconciler.core.model.spec import Direction

STDIN: Final = "<stdin>"


@dataclass(frozen=True, slots=True)
class PathFiles:
    """The files of some paths: manifests as a source, and rules of trust.

    `partial` tells that some were named one by one, so that others may belong to them; `folders`
    are where those lie.
    """

    source: Source
    rules: tuple[SourceFile, ...]
    partial: bool
    folders: tuple[Path, ...]

    def peers_beside(self) -> dict[str, Direction]:
        """Return the peers that are validly declared in the folders of the named files."""
        peers: dict[str, Direction] = {}
        for folder in self.folders:
            try:
                peers |= declared_peers(read_source(SourceSetting(str(folder))))
            except MosaicError:
                continue  # the files were given, not what is beside them
        return peers


def only_source(paths: tuple[str, ...]) -> bool:
    """Tell whether paths are one source: a folder, or a repository; else they hold files."""
    path = paths[0]
    if len(paths) > 1 or path == "-":
        return False
    return is_url(path) or bool(flags_given("source", "ref", "path")) or not _is_file(Path(path))


def read_paths(paths: tuple[str, ...]) -> PathFiles:
    """Return the files of some paths, each named as it was given.

    Raises:
        NeedsEdit: `source_unreadable`: one cannot be read. `usage`: one of several is a URL.
    """
    files: dict[Path | str, SourceFile] = {}
    problems: list[Problem] = []
    rules: dict[str, SourceFile] = {}
    folders: list[Path] = []
    for path in dict.fromkeys(paths):
        if path == "-":
            files[STDIN] = SourceFile(STDIN, read_standard_octets("PATH"))
        elif is_url(path):
            hint = "name one repository by itself, or folders and files"
            raise NeedsEdit("usage", f"got {printable(path)!r} beside other paths", hint=hint)
        elif _is_file(Path(path)):
            file = SourceFile(printable(path, 255), _content(path))
            if Path(path).name == RULES_FILE:
                rules[path] = file
                continue
            files[Path(path).resolve()] = file
            folders.append(Path(path).parent)
        else:
            setting = SourceSetting(path)
            source = read_source(setting)
            problems += [replace(p, file=str(Path(path) / p.file)) for p in source.problems]
            for each in source.files:
                place = Path(path) / each.path
                files.setdefault(place.resolve(), SourceFile(str(place), each.content))
            rules |= {each.path: each for each in read_rules_of(setting, source)}
    fitting: list[SourceFile] = []
    for file in sorted(files.values(), key=lambda file: file.path):
        problem = content_problem(file.path, file.content)
        if problem is None:
            fitting.append(file)
        else:
            problems.append(problem)
    partial = bool(folders) or STDIN in files
    source = Source("", tuple(fitting), tuple(problems))
    return PathFiles(source, tuple(rules.values()), partial, tuple(dict.fromkeys(folders)))


def _is_file(path: Path) -> bool:
    """Tell whether a path is something to read, such as a file or a pipe, and no folder."""
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):
        return False


def _content(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        raise NeedsEdit(
            "source_unreadable",
            f"{printable(path, 255)} cannot be read: {error.strerror}",
            hint="check the path",
        ) from None
