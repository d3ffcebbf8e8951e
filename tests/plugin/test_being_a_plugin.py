"""What the plugin adds to a pytest, and what it leaves alone."""

import pytest

from fork_server import PATIENCE_S

pytest_plugins = ["pytester"]


def test_another_process_runs_the_items_and_a_run_that_uses_nothing_of_ours_loads_nothing_of_ours(
    inner: pytest.Pytester,
) -> None:
    """A start of its own: what matters is what a fresh interpreter loads, and what xdist makes of the items."""
    inner.makepyfile(
        test_nothing="""
        import sys

        def test_nothing():
            assert not {name for name in sys.modules if name.startswith("postback_")}
            assert not {"aiohttp", "hypothesis", "msgspec", "rich"} & sys.modules.keys()
        """,
        test_receiver="""
        def test_empty(postback_receiver):
            assert postback_receiver.captures() == []
        """,
    )
    options = ("-n1", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    inner.runpytest_subprocess(*options, timeout=PATIENCE_S).assert_outcomes(passed=2)


def test_every_fixture_is_explained_and_prefixed(inner: pytest.Pytester) -> None:
    listed = inner.runpytest_inprocess("--fixtures", "-p", "no:cacheprovider").stdout.str()
    ours = [line for line in listed.splitlines() if "pytest_postback.py" in line]

    assert {line.split()[0] for line in ours} == {
        *("postback_listen_address", "postback_ssl_context", "postback_receiver", "postback_async_receiver"),
        *("postback_receiver_factory", "postback_sender", "postback_check", "postback_seed", "postback_case"),
        *("postback_app", "postback_path", "postback_notification", "postback_probe", "postback_endpoint"),
        "postback_restart",
    }
    assert "no docstring available" not in listed[listed.index("pytest_postback") :].split("-----")[0]
