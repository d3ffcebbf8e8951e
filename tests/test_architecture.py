"""Guards the architecture: who may import whom, and which modules may touch the world.

Sender and receiver know nothing of each other; conformance joins them. Inside each package every module is pure: the
same arguments give the same result, and time, randomness, files and sockets come in from outside. Only the modules in
`SHELL` are free of that. The sources are read, not run, so an import cannot hide inside a function, and one by name is
allowed only where the names stand in a table.
"""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

from late_imports import LATE_PACKAGES, late_import_findings, late_modules, plugin_findings
from source_modules import Module, Modules, all_imports, imported_names, lies_in, parse, read_modules

REPOSITORY = Path(__file__).parents[1]
SOURCE_ROOTS = ("sender", "receiver", "conformance")

# Which of our own packages each one may import, besides itself.
MAY_IMPORT = {
    "postback_sender": frozenset[str](),
    "postback_receiver": frozenset[str](),
    "postback_conformance": frozenset({"postback_sender", "postback_receiver"}),
    "pytest_postback": frozenset({"postback_sender", "postback_receiver", "postback_conformance"}),
}

# The modules that touch the world, each with its reason. A package's name covers everything inside it.
SHELL = {
    "postback_conformance.__main__": "is the command line",
    "postback_conformance.cli": "is the command line",
    "postback_conformance.certificates": "reads certificates from disk",
    "postback_conformance.demo": "runs a receiver and senders side by side",
    "postback_conformance.receiving.forwarding": "sends captures on over the network",
    "postback_conformance.hosting": "puts the endpoint under test on a socket",
    "postback_conformance.pytest_plugin": "is the pytest plugin",
    "postback_conformance.testing": "names what the pytest plugin works with",
    "postback_conformance.driving": "runs a sender in a thread, for callers without an event loop",
    "postback_sender.notification_file": "reads settings from disk",
    "postback_conformance.receiving.receiver_file": "reads settings from disk",
    "postback_conformance.suite": "drives an endpoint over the network",
    "postback_conformance.captured.traffic": "reads captures from disk",
    "postback_conformance.asserting": "reads settings from disk",
    "postback_conformance.captured.looking_up": "looks captures up in files and stores",
    "postback_receiver.aiohttp_app": "takes requests out of an aiohttp server",
    "postback_receiver.answering": "writes answers to the network",
    "postback_receiver.arrivals": "is used from several threads at once",
    "postback_receiver.async_receiver": "serves callers in an event loop of their own",
    "postback_receiver.capture_request": "reaches back to the connection a request came on",
    "postback_receiver.connection": "has requests answered on the network",
    "postback_receiver.event_loop": "chooses the event loop",
    "postback_receiver.inspector": "serves health and metrics over HTTP",
    "postback_receiver.line": "writes to the network",
    "postback_receiver.reading": "reads HTTP from the network",
    "postback_receiver.listening": "opens the capture port",
    "postback_receiver.loop_thread": "runs an event loop in a thread, for callers that have none",
    "postback_receiver.memory_store": "is used from several threads at once",
    "postback_receiver.receiver": "serves callers in other threads",
    "postback_receiver.recording": "watches how late the event loop runs",
    "postback_receiver.server": "is the HTTP server",
    "postback_receiver.sqlite_file": "opens the file behind a store",
    "postback_receiver.sqlite_migrations": "changes the file behind a store",
    "postback_receiver.sqlite_reader": "reads the file behind a store",
    "postback_receiver.sqlite_index": "fills and clears the index of the file behind a store",
    "postback_receiver.sqlite_search": "reads the file behind a store",
    "postback_receiver.sqlite_store": "writes the file behind a store, in a thread",
    "postback_receiver.sqlite_writer": "writes the file behind a store",
    "postback_receiver.tls_gate": "has handshakes made on the network",
    "postback_receiver.tls": "reads certificates from disk and makes new ones",
    "postback_receiver.stamps": "asks the machine for the time and for ids",
    "postback_sender.clock": "asks the machine for the time, and sleeps",
    "postback_sender.delivery.at_hand": "lets workers wait until an entry is due",
    "postback_sender.delivery.connections": "speaks HTTP over the network",
    "postback_sender.delivery.departures": "lets requests leave",
    "postback_sender.delivery.entry_request": "is told when its request leaves",
    "postback_sender.delivery.handover": "lets tasks wait for each other",
    "postback_sender.delivery.run": "runs the workers that send",
    "postback_sender.delivery.turns": "lets requests wait for their turn",
    "postback_sender.entry_postbacks": "asks a clock which values are the newest",
    "postback_sender.outbox.commit_thread": "writes the file behind an outbox, in a thread",
    "postback_sender.outbox.lock": "locks the file behind an outbox, and notes what is under way",
    "postback_sender.outbox.sqlite_file": "opens the file behind an outbox",
    "postback_sender.outbox.sqlite_listing": "reads and changes the file behind an outbox",
    "postback_sender.outbox.sqlite_purge": "removes from the file behind an outbox",
    "postback_sender.outbox.sqlite_outbox": "keeps the file behind an outbox",
    "postback_sender.replay.replayer": "sends requests when they are due",
    "postback_sender.sender": "sends HTTP requests",
    "pytest_postback": "hands out running receivers",
}

# Importing one of these, or a part of it, is how a module gets hold of the world ...
WORLDLY_IMPORTS = frozenset(
    {
        *("asyncio", "concurrent", "multiprocessing", "queue", "select", "selectors", "signal", "threading"),
        *("aiohttp", "http.client", "http.server", "socket", "socketserver", "ssl", "urllib.request", "uvloop"),
        *("os", "pathlib", "shutil", "sqlite3", "subprocess", "tempfile", "typer"),
        *("random", "secrets", "time", "uuid"),
    }
)
# ... and these get hold of it without a telling import.
WORLDLY_NAMES = frozenset(
    {
        *("date.today", "datetime.now", "datetime.today", "datetime.utcnow", "datetime.datetime.now"),
        *("input", "open", "print", "sys.argv", "sys.stderr", "sys.stdin", "sys.stdout"),
    }
)


def arrow_findings(modules: Modules) -> list[str]:
    """Name each import of ours that points the wrong way."""
    findings: list[str] = []
    for module in modules.values():
        home = module.name.partition(".")[0]
        for name in all_imports(module):
            target = name.partition(".")[0]
            if not target:
                findings.append(
                    f"{module.name} climbs out of its package with a relative import of {name}: name it in full"
                )
            elif target in MAY_IMPORT and target != home and target not in MAY_IMPORT[home]:
                findings.append(f"{module.name} imports {name}: {home} must not know {target}; pass in what it needs")
    return findings


def worldly_things(module: Module, modules: Modules, shell: frozenset[str]) -> list[str]:
    """List what the module imports or uses that is not pure, shell modules of ours included."""
    passed_on = {
        f"{package.name}.{name}": origin
        for package in modules.values()
        if package.is_package
        for statement in package.tree.body
        for name, origin in imported_names(statement, package.name).items()
    }
    things: set[str] = set()
    for name in all_imports(module):
        origin = name
        while passed_on.get(origin, origin) != origin:
            origin = passed_on[origin]
        # A package's __init__ only passes names on, so it may name the shell without being part of it.
        if lies_in(origin, WORLDLY_IMPORTS) or (lies_in(origin, shell) and not module.is_package):
            things.add(origin)
    ends = {name.rpartition(".")[2] for name in WORLDLY_NAMES}
    suspects = (node for node in module.nodes if isinstance(node, ast.Name | ast.Attribute) and last_part(node) in ends)
    return sorted(things | (WORLDLY_NAMES & set(map(ast.unparse, suspects))))


def last_part(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def shell_findings(modules: Modules, shell: Mapping[str, str]) -> list[str]:
    """Say which lines to add to the table of shell modules, and which to remove."""
    listed = frozenset(shell)
    worldly: dict[str, list[str]] = {}
    for name, module in modules.items():
        # Neighbours under one entry do not count as the world for each other.
        others = frozenset(entry for entry in listed if not lies_in(name, frozenset({entry})))
        if things := worldly_things(module, modules, others):
            worldly[name] = things
    missing = [
        f'keep {name} pure, or add to SHELL: "{name}": "why it needs {", ".join(things)}",'
        for name, things in worldly.items()
        if not lies_in(name, listed)
    ]
    stale = [
        f'remove from SHELL: "{entry}", {"which is pure by now" if entry in modules else "which does not exist"}'
        for entry in shell
        if not any(lies_in(name, frozenset({entry})) for name in worldly)
    ]
    return missing + stale


def export_findings(package: Module) -> list[str]:
    """Compare a package's `__all__` with the public names it defines or passes on. Ruff (RUF022) keeps it sorted."""
    declared: set[str] = set()
    defined: set[str] = set()
    imported: set[str] = set()
    for node in package.tree.body:
        # What only type checkers import is loaded by a module-level __getattr__: as public as the rest.
        for statement in node.body if isinstance(node, ast.If) else [node]:
            match statement:
                case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                    declared = set(ast.literal_eval(value))
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    defined.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    defined.add(name)
                case _:
                    names = imported_names(statement, package.name)
                    imported.update(name for name, origin in names.items() if lies_in(origin, frozenset(MAY_IMPORT)))
    # An import that the package's own code uses is a tool of it, and need not be passed on.
    tools = {node.id for node in package.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    public = {name for name in defined | (imported - tools) if not name.startswith("_")}
    return [
        *(f"add to {package.name}.__all__: {name}" for name in sorted(public - declared)),
        *(
            f"remove from {package.name}.__all__: {name}, which is not there"
            for name in sorted(declared - defined - imported)
        ),
    ]


@pytest.fixture(scope="module")
def modules() -> Modules:
    return {name: module for root in SOURCE_ROOTS for name, module in read_modules(REPOSITORY / root).items()}


def test_every_source_file_belongs_to_a_package_of_ours(modules: Modules) -> None:
    assert {name.partition(".")[0] for name in modules} == set(MAY_IMPORT)


def test_a_source_root_is_not_itself_a_package() -> None:
    """With an `__init__.py` our `receiver/` would be importable as `receiver`, a name that belongs to partners."""
    assert [root for root in SOURCE_ROOTS if (REPOSITORY / root / "__init__.py").exists()] == []


def test_imports_point_from_conformance_to_sender_and_receiver_only(modules: Modules) -> None:
    findings = arrow_findings(modules)
    assert not findings, "\n".join(findings)


def test_a_module_that_is_imported_by_name_stands_in_a_table_of_its_own_package(modules: Modules) -> None:
    findings = late_import_findings(modules)
    assert not findings, "\n".join(findings)
    assert all(late_modules(modules[package]) for package in LATE_PACKAGES)


def test_only_the_listed_shell_touches_the_world(modules: Modules) -> None:
    findings = shell_findings(modules, SHELL)
    assert not findings, "\n".join(findings)


def test_the_plugin_starts_with_pytest_and_nothing_else(modules: Modules) -> None:
    findings = plugin_findings(modules["pytest_postback"])
    assert not findings, "\n".join(findings)


def test_each_package_declares_exactly_its_public_names(modules: Modules) -> None:
    findings = [finding for module in modules.values() if module.is_package for finding in export_findings(module)]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize(
    ("name", "source", "finding"),
    [
        ("postback_sender.event", "import postback_receiver.store", "must not know postback_receiver"),
        ("postback_receiver.store", "from postback_sender import Event", "must not know postback_sender"),
        ("postback_sender.a.b", "def f():\n  import postback_conformance", "must not know postback_conformance"),
        ("postback_conformance.cli", "import pytest_postback", "must not know pytest_postback"),
        ("postback_sender.event", "from ..postback_receiver import Capture", "climbs out of its package"),
        ("pytest_postback", "from . import postback_sender", "climbs out of its package"),
    ],
)
def test_an_arrow_that_points_the_wrong_way_is_found(name: str, source: str, finding: str) -> None:
    (found,) = arrow_findings({name: parse(name, source)})
    assert finding in found


def test_imports_within_a_package_and_from_conformance_are_fine() -> None:
    inner = parse("postback_sender.delivery.policy", "from ..event import Event\nfrom . import outbox\nimport json")
    outer = parse(
        "postback_conformance.cli", "from postback_sender import Event\nfrom postback_receiver import Capture"
    )
    assert arrow_findings({module.name: module for module in (inner, outer)}) == []


@pytest.mark.parametrize(
    ("source", "thing"),
    [
        ("import time", "time"),
        ("from os.path import join", "os.path.join"),
        ("def f():\n  import aiohttp.web", "aiohttp.web"),
        ("from urllib import request", "urllib.request"),
        ("from datetime import datetime\nstamp = datetime.now", "datetime.now"),
        ("text = open('notes.txt').read()", "open"),
        ("from .clock import SystemClock", "postback_sender.clock.SystemClock"),
        ("from postback_sender import SystemClock", "postback_sender.clock.SystemClock"),
    ],
)
def test_a_pure_module_that_touches_the_world_is_found(source: str, thing: str) -> None:
    package = parse("postback_sender", "from .clock import SystemClock", is_package=True)
    clock = parse("postback_sender.clock", "import time")
    event = parse("postback_sender.event", source)
    assert shell_findings(
        {module.name: module for module in (package, clock, event)}, {clock.name: "reads the clock"}
    ) == [f'keep postback_sender.event pure, or add to SHELL: "postback_sender.event": "why it needs {thing}",']


def test_parsing_a_url_or_a_date_is_pure() -> None:
    event = parse(
        "postback_sender.event", "from urllib.parse import quote\nfrom datetime import UTC, datetime\nimport http"
    )
    assert shell_findings({event.name: event}, {}) == []


def test_a_package_in_the_shell_covers_the_modules_inside_it() -> None:
    command = parse("postback_conformance.cli.send", "import asyncio")
    assert shell_findings({command.name: command}, {"postback_conformance.cli": "talks to the terminal"}) == []


def test_a_shell_entry_without_a_reason_to_exist_is_found() -> None:
    event = parse("postback_sender.event", "import json")
    assert shell_findings({event.name: event}, {"postback_sender.event": "?", "postback_sender.gone": "?"}) == [
        'remove from SHELL: "postback_sender.event", which is pure by now',
        'remove from SHELL: "postback_sender.gone", which does not exist',
    ]


@pytest.mark.parametrize(
    ("source", "findings"),
    [
        ("", []),
        ("from typing import Any\nfrom .event import Event, _key\n__all__ = ['Event']", []),
        ("from .event import Event", ["add to postback_sender.__all__: Event"]),
        ("if TYPE_CHECKING:\n  from .event import Event", ["add to postback_sender.__all__: Event"]),
        ("__all__ = ['Event']", ["remove from postback_sender.__all__: Event, which is not there"]),
        ("def send(): ...\n__all__ = ['send']", []),
        ("from .rule import catalogue\nRULES = catalogue()\n__all__ = ['RULES']", []),
    ],
)
def test_a_package_whose_all_differs_from_its_names_is_found(source: str, findings: list[str]) -> None:
    assert export_findings(parse("postback_sender", source, is_package=True)) == findings
