"""Guards what is loaded late: modules by name, from a table of their package, and all of the kit by its plugin."""

import ast
from collections.abc import Iterator

from source_modules import Module, Modules, imported_names, lies_in

# Importing by name, which no import statement shows; and the one way in which a package may do it.
IMPORTERS = frozenset({"import_module", "__import__"})
LATE_TABLE = "_LOADED_WHEN_USED"
LATE_IMPORT = f"import_module({LATE_TABLE}[name])"
# Each module that may, and the package whose modules it may bring in.
LATE_PACKAGES = {
    "postback_sender": "postback_sender",
    "postback_receiver": "postback_receiver",
    "postback_conformance.cli.application": "postback_conformance.cli",
}

# What the plugin may import before a fixture is used: pytest, and what pytest itself has loaded by then.
LIGHT = frozenset(
    {
        *("__future__", "collections", "contextlib", "dataclasses", "functools", "re", "types", "typing"),
        *("os", "pathlib", "pytest"),
    }
)


def late_import_findings(modules: Modules) -> list[str]:
    """Name each import by name that the other guards cannot see, and each late one that leaves its package."""
    findings: list[str] = []
    for module in modules.values():
        allowed = 1 if module.name in LATE_PACKAGES else 0
        uses = [node for node in module.nodes if imports_by_name(node)]
        calls = [node for node in module.nodes if isinstance(node, ast.Call)] if uses else []
        late = [call for call in calls if ast.unparse(call) == LATE_IMPORT][:allowed]
        # The import statement that brings import_module, and its use.
        if len(uses) > 2 * len(late):
            findings.append(f"{module.name} imports by name, which no guard can follow: write an import statement")
        findings += [
            f"{module.name}.{LATE_TABLE} names {name}: expected a module of {LATE_PACKAGES[module.name]}"
            for name in (late_modules(module) if late else ())
            if name not in modules or not name.startswith(f"{LATE_PACKAGES[module.name]}.")
        ]
    return findings


def imports_by_name(node: ast.AST) -> bool:
    """Say whether a piece of source is, or brings in, a function that imports whatever it is told to."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
            return name in IMPORTERS
        # getattr(importlib, "import_module")
        case ast.Constant(value=str(name)):
            return name in IMPORTERS
        case _:
            return False


def late_modules(module: Module) -> list[str]:
    """Return the modules a package loads when a name of them is first used."""
    tables = [
        ast.literal_eval(node.value)
        for node in module.tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == LATE_TABLE
    ]
    return [name for table in tables for name in table.values()]


def run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs when the module is imported: no function bodies, and nothing that is only for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from run_on_import(child)


def plugin_findings(plugin: Module) -> list[str]:
    """Name each import that would cost every pytest run of a partner, also those that never use a fixture of ours."""
    names = [name for node in run_on_import(plugin.tree) for name in imported_names(node, plugin.package).values()]
    return [
        f"{plugin.name} imports {name} when pytest starts: import it inside the fixture that needs it"
        for name in names
        if not lies_in(name, LIGHT)
    ]
