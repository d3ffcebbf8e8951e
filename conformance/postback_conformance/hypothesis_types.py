"""Tells Hypothesis how to make our records, so that `st.from_type(Action)` works without an import of ours.

Hypothesis calls `register` whenever it is imported, in everybody's programs. So nothing of ours is loaded for it: each
record is registered in the moment in which somebody imports its module, and its strategy is looked up when first drawn.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# By module, its records; each with the strategy that makes it, a function of `strategies`.
TYPES = {
    "postback_sender.action": {"Action": "actions", "Item": "items"},
    "postback_sender.event": {"Event": "events"},
    "postback_sender.notification": {
        "Notification": "notifications",
        "NotificationSource": "notification_sources",
    },
    "postback_sender.template.template": {"Template": "templates"},
    "postback_receiver.capture": {"Capture": "captures"},
    "postback_receiver.faults": {"Fault": "faults"},
}


def register() -> None:
    """Register the records that are there, and the others as soon as they are."""
    for name in TYPES:
        if name in sys.modules:
            _register_those_of(sys.modules[name])
    if not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())


class _Watcher:
    """Finds the modules of `TYPES` as they would be found without it, and adds a last step to their loading."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in TYPES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _register_those_of(module)

            # On this one loader only, which is this module's own: what else asks it, for the source say, gets it.
            vars(spec.loader)["exec_module"] = exec_module
        return spec


def _register_those_of(module: ModuleType) -> None:
    from hypothesis import strategies as st  # noqa: PLC0415  whoever calls this has it loaded, or is loading it

    for name, strategy in TYPES[module.__name__].items():
        record = getattr(module, name, None)
        # None while the module is still being loaded: its last step comes.
        if record is not None:
            st.register_type_strategy(record, _made_by(strategy))


def _made_by(name: str) -> "Callable[[type[object]], SearchStrategy[object]]":
    def strategy(_record: type[object]) -> "SearchStrategy[object]":
        from postback_conformance import strategies  # noqa: PLC0415  nothing is generated yet

        made: Callable[[], SearchStrategy[object]] = getattr(strategies, name)
        return made()

    return strategy
