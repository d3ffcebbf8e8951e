"""The public names are the documented ones, and the module that makes each is where it says."""

import importlib
import pkgutil
from types import ModuleType

import pytest

import postback_receiver
import postback_sender


def test_all_names_are_sorted_and_exist() -> None:
    assert postback_receiver.__all__ == sorted(postback_receiver.__all__)
    assert all(hasattr(postback_receiver, name) for name in postback_receiver.__all__)


@pytest.mark.parametrize("package", [postback_receiver, postback_sender], ids=["receiver", "sender"])
def test_names_that_are_loaded_when_used_are_seen_before(package: ModuleType) -> None:
    """An interactive session completes what `dir` has."""
    assert set(package.__all__) <= set(dir(package))


def test_every_module_says_what_it_is_for() -> None:
    for module in pkgutil.iter_modules(postback_receiver.__path__, "postback_receiver."):
        assert importlib.import_module(module.name).__doc__, module.name
