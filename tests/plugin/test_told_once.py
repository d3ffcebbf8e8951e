"""What is true of every case is told by one: an endpoint that was never there, and what is wrong with the settings."""

import pytest

from kept_port import kept_port

pytest_plugins = ["pytester"]

NOTIFICATION = """
url = "http://127.0.0.1/"
method = "POST"
body = '{"id": "{ActionId}", "status": "{Status}", "payout": "{Payout}"}'
"""

UNCLOSED = NOTIFICATION.replace("127.0.0.1/", "127.0.0.1/?sub={SubId1")

OPTIONS = ("-rN", "--postback-notification=n.toml", "--postback-only=accepts.[de]*")


def test_an_endpoint_that_was_never_there_is_told_in_full_once(inner: pytest.Pytester) -> None:
    """The others say in a line what it is, and which test tells it; none of them is kept as a case of its own."""
    inner.makefile(".toml", n=NOTIFICATION)
    inner.makepyfile(test_it="def test_it(postback_case): postback_case()")
    with kept_port() as port:
        result = inner.runpytest_inprocess(*OPTIONS, f"--postback-app=http://127.0.0.1:{port}/")

    result.assert_outcomes(failed=3)
    told = result.stdout.str()
    assert told.count("✗ endpoint.answers") == 1
    line = f"not tried: http://127.0.0.1:{port}/ does not answer: no connection: * (in full at {{}})"
    result.stdout.fnmatch_lines(
        [
            "* test_it[[]accepts.documented-example[]] *",
            "✗ endpoint.answers*MUST*",
            "seed 0: run it again with --postback-seed=0",
            "* test_it[[]accepts.empties[]] *",
            line.format("test_it.py::test_it[[]accepts.documented-example[]]"),
            "* test_it[[]accepts.dates-kept[]] *",
            line.format("test_it.py::test_it[[]accepts.documented-example[]]"),
        ]
    )
    assert "--postback-replay" not in told


def test_an_endpoint_that_dies_is_told_in_full_by_each_case(inner: pytest.Pytester) -> None:
    """Any of those before may be what it died of, and it may have come back between them."""
    inner.makefile(".toml", n=NOTIFICATION)
    with kept_port() as port:
        inner.makepyfile(f"""
        from contextlib import ExitStack
        import pytest
        from postback_receiver import Receiver

        UNTIL_THE_FIRST_CASE_ENDS = ExitStack()

        @pytest.fixture(scope="session")
        def postback_app():
            return UNTIL_THE_FIRST_CASE_ENDS.enter_context(Receiver(port={port})).url

        def test_it(postback_case):
            with UNTIL_THE_FIRST_CASE_ENDS:
                postback_case()
        """)
        result = inner.runpytest_inprocess(*OPTIONS)

    result.assert_outcomes(passed=1, failed=2)
    assert result.stdout.str().count("✗ endpoint.answers") == 2
    assert "in full at" not in result.stdout.str()


@pytest.mark.parametrize(
    ("filters", "outcomes"),
    [
        pytest.param("\n default", {"passed": 2, "warnings": 1}, id="told"),
        pytest.param("\n ignore::postback_conformance.errors.NotificationWarning", {"passed": 2}, id="left out"),
        pytest.param("\n error", {"passed": 1, "errors": 1}, id="an error"),
    ],
)
def test_settings_at_fault_that_can_be_sent_are_a_warning_once_which_people_can_filter(
    inner: pytest.Pytester, filters: str, outcomes: dict[str, int]
) -> None:
    inner.makeini(f"[pytest]\nfilterwarnings ={filters}\n")
    inner.makefile(".toml", n=UNCLOSED)
    inner.makepyfile("""
    import pytest

    @pytest.fixture(scope="session")
    def postback_app():
        def app(environ, start_response):
            start_response("200 OK", [])
            return []
        return app

    @pytest.mark.postback(only="accepts.documented-example")
    @pytest.mark.parametrize("time", range(2))
    def test_it(time, postback_case):
        postback_case()
    """)
    result = inner.runpytest_inprocess("--postback-notification=n.toml", "-rN")

    result.assert_outcomes(**{"warnings": 0, **outcomes})
    said = ["*NotificationWarning: n.toml, line 1: {SubId1 is not closed*", "*`postback lint` finds 1 fault in these*"]
    if len(outcomes) > 1:
        result.stdout.fnmatch_lines(said)
        assert "pytest_plugin" not in result.stdout.str()
    else:
        result.stdout.no_fnmatch_line("*NotificationWarning*")
