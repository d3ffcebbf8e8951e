"""The kit's own source, read and not run: every module with its imports, wherever they stand."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import resolve_name
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Module:
    """One source file: its dotted name, and its text as a tree."""

    name: str
    tree: ast.Module
    is_package: bool = False

    @property
    def package(self) -> str:
        """What the first dot of a relative import stands for."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree, once for all guards."""
        return list(ast.walk(self.tree))


Modules = Mapping[str, Module]


def read_modules(folder: Path) -> dict[str, Module]:
    """Read every module below a source root."""
    modules: dict[str, Module] = {}
    for path in sorted(folder.rglob("*.py")):
        is_package = path.name == "__init__.py"
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name=name, tree=ast.parse(path.read_text("utf-8")), is_package=is_package)
    return modules


def imported_names(statement: ast.AST, package: str) -> dict[str, str]:
    """Map each name an import statement binds to what it stands for: `from .a import b as c` gives `c: package.a.b`.

    A relative import that climbs out of the outermost package keeps its leading dots.
    """
    match statement:
        case ast.Import(names=aliases):
            return {alias.asname or alias.name: alias.name for alias in aliases}
        case ast.ImportFrom(module=module, names=aliases, level=level):
            relative = "." * level + (module or "")
            try:
                origin = resolve_name(relative, package)
            except ImportError:
                origin = relative
            return {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in aliases}
        case _:
            return {}


def all_imports(module: Module) -> list[str]:
    """Everything the module imports, wherever it does so."""
    return [name for node in module.nodes for name in imported_names(node, module.package).values()]


def parse(name: str, source: str, *, is_package: bool = False) -> Module:
    """Return a module of that text."""
    return Module(name=name, tree=ast.parse(source), is_package=is_package)


def lies_in(name: str, places: frozenset[str]) -> bool:
    """Say whether a dotted name is one of the places, or inside one of them."""
    parts = name.split(".")
    return any(".".join(parts[:length]) in places for length in range(1, len(parts) + 1))
