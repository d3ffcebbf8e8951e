"""The guard of what is loaded late finds what it is made for."""

import pytest

from late_imports import late_import_findings, plugin_findings
from source_modules import parse

LATE = """
from importlib import import_module
_LOADED_WHEN_USED = {"Sender": "postback_sender.sender"}
def __getattr__(name):
    return getattr(import_module(_LOADED_WHEN_USED[name]), name)
"""


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("postback_sender.event", "import importlib\nimportlib.import_module('postback_receiver.server')"),
        ("postback_sender.event", "from importlib import import_module as load\nload('time')"),
        ("postback_sender.event", "def f():\n  return __import__('time')"),
        ("postback_sender.event", "import builtins\nbuiltins.__import__('time')"),
        ("postback_sender.event", "import importlib\ngetattr(importlib, 'import_module')('time')"),
        ("postback_sender.event", LATE),
        ("postback_conformance", LATE.replace("sender", "conformance")),
        ("postback_sender", LATE + "import_module('time')"),
        ("postback_sender", LATE.replace("_LOADED_WHEN_USED[name])", "name)")),
    ],
)
def test_an_import_by_name_is_found(name: str, source: str) -> None:
    modules = {one: parse(one, "") for one in ("postback_sender.sender", "postback_conformance.conformance")}
    found = late_import_findings({**modules, name: parse(name, source)})
    assert found == [f"{name} imports by name, which no guard can follow: write an import statement"]


@pytest.mark.parametrize("target", ["postback_receiver.server", "postback_sender.gone", "time"])
def test_a_table_that_leads_out_of_its_package_is_found(target: str) -> None:
    package = parse("postback_sender", LATE.replace("postback_sender.sender", target), is_package=True)
    modules = {module.name: module for module in (package, parse("postback_receiver.server", ""))}
    assert late_import_findings(modules) == [
        f"postback_sender._LOADED_WHEN_USED names {target}: expected a module of postback_sender"
    ]


def test_a_table_of_modules_of_the_same_package_is_fine() -> None:
    package = parse("postback_sender", LATE, is_package=True)
    assert (
        late_import_findings({module.name: module for module in (package, parse("postback_sender.sender", ""))}) == []
    )


def test_a_heavy_import_at_plugin_start_is_found_and_a_late_one_is_fine() -> None:
    heavy = parse("pytest_postback", "import pytest\ntry:\n  import aiohttp\nexcept ImportError: ...")
    late = parse(
        "pytest_postback", "if TYPE_CHECKING:\n  import postback_receiver\ndef f():\n  import postback_receiver"
    )
    assert plugin_findings(heavy) == [
        "pytest_postback imports aiohttp when pytest starts: import it inside the fixture that needs it"
    ]
    assert plugin_findings(late) == []
