"""A pytest of its own for each test of the plugin; in this process, since a start takes its time."""

from importlib import import_module

import pytest

# An inner pytest forgets what it imported; what is there before stays, so that it is loaded once and not in each test.
for name in (
    *(f"pytest_plugin.{name}" for name in ("again", "explaining", "failing", "making", "once", "sections")),
    *("hosting.asgi_host", "hosting.wsgi_host"),
):
    import_module(f"postback_conformance.{name}")
import_module("postback_receiver.async_receiver")
import_module("postback_conformance.testing")
# Its cryptography cannot be loaded twice: whoever came later could make no certificate.
import_module("trustme")


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    """A pytest as a partner has it: the plugin found by its entry point, every warning an error."""
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester
