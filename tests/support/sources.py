"""The project's own source files, as text and as syntax trees, for the tests that read them."""

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("protocol", "ocs", "config", "simulators")
TEXT_SUFFIXES = {".py", ".md", ".yaml", ".yml", ".cfg", ".toml", ".csv", ".txt", ".mako", ""}
_SKIPPED_DIRECTORIES = {"build", "dist", "__pycache__", "node_modules"}


@dataclass(frozen=True)
class Module:
    """One Python file, parsed once."""

    path: Path

    @property
    def place(self) -> str:
        """The path from the root of the project, with slashes."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def name(self) -> str:
        """The dotted name it is imported by."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def text(self) -> str:
        """The source."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The source as Python 3.11 understands it; later syntax is a SyntaxError."""
        return ast.parse(self.text, self.place, feature_version=(3, 11))

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """The nodes of the tree, walked once."""
        return tuple(ast.walk(self.tree))

    def inside(self, *packages: str) -> bool:
        """Whether it is one of these modules, or in one of these packages."""
        return any(
            self.name == package or self.name.startswith(f"{package}.") for package in packages
        )

    def imports(self) -> Iterator[tuple[str, int]]:
        """Every name that may be a module which it imports, with the line that does it."""
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                yield base, node.lineno
                yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)

    def calls(self) -> Iterator[tuple[str, int]]:
        """Every call of a dotted name, as written, with its line."""
        for node in self.nodes:
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func), node.lineno


@cache
def files() -> tuple[Path, ...]:
    """Every text file of the project, without what tools have made."""
    found = []
    for directory, subdirectories, names in os.walk(ROOT):
        subdirectories[:] = sorted(
            name
            for name in subdirectories
            if name not in _SKIPPED_DIRECTORIES
            and not name.endswith(".egg-info")
            and (not name.startswith(".") or name == ".ci")
        )
        found += [Path(directory, name) for name in sorted(names)]
    return tuple(path for path in found if path.suffix in TEXT_SUFFIXES)


@cache
def modules(*packages: str) -> tuple[Module, ...]:
    """Every Python file of the project, or of these packages only."""
    found = tuple(Module(path) for path in files() if path.suffix == ".py")
    return tuple(module for module in found if not packages or module.inside(*packages))
