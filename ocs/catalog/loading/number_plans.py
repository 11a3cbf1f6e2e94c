"""Number plans: destinations in CSV files beside a catalogue, which are kept in its text.

What is checked, published and stored is one text: the catalogue and, behind it in lines that YAML
takes for comments, every file it names. So a publish is whole, and a stored catalogue needs no
file. Called by loading.document, and by provisioning when a catalogue file is read.
"""

import re
from collections.abc import Iterator, Mapping

from ocs.catalog.loading.values import check_code, code_problem
from ocs.marked import Document, Scalar, shortened
from ocs.marked import Mapping as Group

MAX_PREFIXES = 200_000
MARK = "#--- files of this catalogue; written by publish ---"
_NAME, _LINE = "#= ", "#| "
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX = re.compile(r"\+?([0-9]{1,15})")
_HEADER = ("prefix", "destination")


def attach(text: str, files: Mapping[str, str]) -> str:
    """Return a catalogue's text with files behind it; without files it is unchanged."""
    if not files:
        return text
    lines = [text.rstrip("\n"), MARK]
    for name, content in files.items():
        lines.append(_NAME + name)
        lines += [_LINE + line.rstrip() for line in content.splitlines()]
    return "\n".join(lines) + "\n"


def attached(text: str) -> dict[str, list[str]]:
    """Return the lines of every file that a catalogue's text holds, by name."""
    _, mark, rest = text.rpartition(f"\n{MARK}\n")
    files: dict[str, list[str]] = {}
    own: list[str] = []
    for line in rest.split("\n") if mark else ():
        if line.startswith(_NAME):
            own = files.setdefault(line.removeprefix(_NAME), [])
        elif line.startswith(_LINE.rstrip()):
            own.append(line[len(_LINE) :])
    return files


def named_files(document: Document) -> list[Scalar]:
    """Return the files that a catalogue names, sound names only."""
    return [
        scalar
        for group in document.root.mappings("number_plans")
        if (scalar := group.scalar("file")) is not None and _FILE_NAME.fullmatch(scalar.text)
    ]


class DestinationReader:
    """Reads ``destinations`` and ``number_plans`` into one set of zones, each prefix once."""

    def __init__(self, root: Group) -> None:
        self._root = root
        self._prefixes: dict[str, list[str]] = {}
        self._places: dict[str, str] = {}
        """Where each prefix stands, in words."""

    def read(self) -> dict[str, tuple[str, ...]]:
        """Return the prefixes of every destination by name."""
        group = self._root.mapping("destinations")
        for key, _ in group.members():
            name = check_code(key, "destination")
            own = self._prefixes.setdefault(name, [])
            for scalar in group.scalars(key.text):
                problem = self._take(scalar.text, own, f"in line {scalar.line}")
                if problem:
                    scalar.problem(problem)
            if not group.sequence(key.text):
                key.problem(f"destination '{name}' has no prefixes")
        self._read_files()
        return {name: tuple(prefixes) for name, prefixes in self._prefixes.items()}

    def _take(self, text: str, own: list[str], place: str) -> str:
        """Keep a prefix; return what is wrong with it, or nothing."""
        match = _PREFIX.fullmatch(text)
        if match is None:
            return f"'{shortened(text)}' is no prefix of 1 to 15 digits such as 34600"
        first = self._places.setdefault(match[1], place)
        if first is not place:
            return f"the prefix {match[1]} is given twice; the first is {first}"
        if len(self._places) > MAX_PREFIXES:
            return f"there are more than {MAX_PREFIXES} prefixes"
        own.append(match[1])
        return ""

    def _read_files(self) -> None:
        files: dict[str, list[str]] | None = None
        seen: set[str] = set()
        for group in self._root.mappings("number_plans"):
            scalar = group.scalar("file", required=True)
            group.finish()
            if scalar is None:
                continue
            files = attached(self._root.document.text) if files is None else files
            if not _FILE_NAME.fullmatch(scalar.text):
                scalar.problem(
                    f"{scalar.describe()} is no file name such as prefixes.csv; the file stands "
                    "beside the catalogue"
                )
            elif scalar.text in seen:
                scalar.problem(f"the file {scalar.text} is named twice")
            elif scalar.text not in files:
                scalar.problem(f"the file {scalar.text} is not there")
            elif not self._read_file(scalar.text, files[scalar.text]):
                scalar.problem(f"the file {scalar.text} has no prefixes")
            seen.add(scalar.text)

    def _read_file(self, file: str, lines: list[str]) -> bool:
        document = self._root.document
        folder = document.source.rpartition("/")[0]
        source = f"{folder}/{file}" if folder else file
        found = False
        for number, prefix, name in _rows(lines):
            found = True
            if name is None:
                document.note(
                    "a line needs a prefix and a destination, such as 34600,mobile", number, 1,
                    source=source,
                )
                continue
            if (own := self._prefixes.get(name)) is None:
                own = self._prefixes.setdefault(name, [])
                if complaint := code_problem(name, "destination"):
                    document.note(complaint, number, len(prefix) + 2, source=source)
            problem = self._take(prefix, own, f"in line {number} of {file}")
            if problem:
                document.note(problem, number, 1, source=source)
                if len(self._places) > MAX_PREFIXES:
                    break
        return found


def _rows(lines: list[str]) -> Iterator[tuple[int, str, str | None]]:
    """Yield (line, prefix, destination) of a CSV file: comma or semicolon, a header or none.

    Further columns are for people. Without a second column the destination is None.
    """
    header = True
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [
            cell.strip().strip('"').strip() for cell in line.replace(";", ",").split(",", 2)[:2]
        ]
        if header and tuple(cell.lower() for cell in cells) == _HEADER:
            header = False
            continue
        header = False
        yield number, cells[0], cells[1] if len(cells) > 1 and cells[1] else None
