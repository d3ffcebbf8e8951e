"""The public names are the documented ones, and the module that makes each is where it says."""

import importlib
import pkgutil

import postback_receiver


def test_all_names_are_sorted_and_exist() -> None:
    assert postback_receiver.__all__ == sorted(postback_receiver.__all__)
    assert all(hasattr(postback_receiver, name) for name in postback_receiver.__all__)


def test_every_module_says_what_it_is_for() -> None:
    for module in pkgutil.iter_modules(postback_receiver.__path__, "postback_receiver."):
        assert importlib.import_module(module.name).__doc__, module.name
