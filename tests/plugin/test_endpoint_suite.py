"""The endpoint suite as tests: one item for each case, and what is told of one that fails."""

import re
import xml.etree.ElementTree as ET

import pytest

pytest_plugins = ["pytester"]

NOTIFICATION = """
url = "http://127.0.0.1/"
method = "POST"
body = '{"id": "{ActionId}", "status": "{Status}", "payout": "{Payout}"}'
"""


APP = """
    import json
    import pytest

    BOOKS = {}

    async def first_update_wins(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        if scope["path"] == "/probe":
            told = BOOKS.get(scope["query_string"].decode().removeprefix("id="))
            answer = {"actions": {told["id"]: {"status": told["status"]}}} if told else {}
            await send({"type": "http.response.start", "status": 200 if told else 404, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        try:
            told = json.loads(body)
            BOOKS.setdefault(told["id"], told)
        except ValueError:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"OK"})
"""


SUITE = f"""{APP}
    from postback_conformance.testing import Hosted, PostbackCase

    @pytest.fixture(scope="session")
    def postback_app():
        return first_update_wins

    @pytest.fixture(scope="session")
    def postback_probe():
        return "/probe"

    @pytest.mark.postback(only="accepts.documented-example")
    def test_accepts(postback_case):
        postback_case()

    @pytest.mark.postback(only=["rejects.malformed-body", "accepts.many-items", "state.reversal"])
    class TestMore:
        def test_it(self, postback_case: PostbackCase):
            postback_case()

    def test_endpoint_only(postback_endpoint: Hosted, postback_sender):
        assert len(postback_sender.send("n.toml", to=postback_endpoint.url, count=1)) == 1
"""


@pytest.fixture
def endpoint(inner: pytest.Pytester) -> pytest.Pytester:
    """A repository with an endpoint that never books a second update, and answers anything with 200."""
    inner.makeini("[pytest]\nfilterwarnings = error\npostback_notification = n.toml\npostback_path = /hook\n")
    inner.makefile(".toml", n=NOTIFICATION)
    inner.makepyfile(test_suite=SUITE)
    return inner


def test_a_test_with_the_fixture_is_one_item_for_each_case_of_the_endpoint_suite(endpoint: pytest.Pytester) -> None:
    """It passes, or is told like by `postback conform`; what only SHOULD be, or lacks what it needs, is told, too."""
    result = endpoint.runpytest_inprocess("-rsx", "--postback-seed=7", "--junitxml=report.xml")

    result.assert_outcomes(passed=2, failed=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["postback-kit *: seed 7"])
    result.stdout.fnmatch_lines(
        [
            "*test_it[[]state.reversal[]]*",
            "✗ state.reversal  MUST*",
            "  expected status: REVERSED",
            "  do       A reversal has the id of its action*",
            "The story:",
            "  1. *tracked *",
            "  2. *reversed *",
            "curl http://127.0.0.1:*/hook *",
            '*--data-raw*"status": "REVERSED"*',
            "seed 7: run it again with --postback-seed=7",
            "or with --postback-replay=.pytest_cache/d/postback-cases/state.reversal-7.json, or `postback conform *",
        ]
    )
    result.stdout.fnmatch_lines(["SKIPPED*not applicable: *items*"])
    result.stdout.fnmatch_lines(["XFAIL*rejects.malformed-body*SHOULD fail: *"])
    properties = {
        (each.get("name"), each.get("value"))
        for each in ET.parse(endpoint.path / "report.xml").iter("property")  # noqa: S314  ours
    }
    assert properties >= {
        *{("postback_case", "accepts.documented-example"), ("postback_outcome", "pass"), ("postback_seed", "7")},
        *{("postback_case", "state.reversal"), ("postback_level", "MUST"), ("postback_outcome", "fail")},
        *{("postback_outcome", "not_applicable"), ("postback_level", "SHOULD")},
    }

    kept = ".pytest_cache/d/postback-cases/state.reversal-7.json"
    again = endpoint.runpytest_inprocess("-k", "TestMore", f"--postback-replay={kept}")
    again.assert_outcomes(failed=1, deselected=2)
    again.stdout.fnmatch_lines(["*test_it[[]state.reversal[]]*", "seed 7: run it again*"])


@pytest.mark.parametrize("option", ["--postback-fail-on=should", "--postback-strict"])
def test_what_only_should_be_fails_a_test_where_that_is_asked_for(endpoint: pytest.Pytester, option: str) -> None:
    result = endpoint.runpytest_inprocess("-k", "malformed", option)

    result.assert_outcomes(failed=1, deselected=4)
    result.stdout.fnmatch_lines(["*rejects.malformed-body, the request once more:", "curl * http://127.0.0.1:*"])


@pytest.mark.parametrize(
    ("probe", "app", "told"),
    [
        pytest.param("1 / 0", "first_update_wins", "*the probe failed: ZeroDivisionError*", id="probe raises"),
        pytest.param("None", "first_update_wins", "the probe knew none of the actions*", id="probe knows nothing"),
        pytest.param("{}['x']", "'http://127.0.0.1:1/'", "✗ endpoint.answers*MUST*", id="endpoint is down"),
    ],
)
def test_a_case_that_could_not_be_decided_fails(inner: pytest.Pytester, probe: str, app: str, told: str) -> None:
    """As in `postback conform`: a skipped test is green, and nothing was tested."""
    inner.makefile(".toml", n=NOTIFICATION)
    inner.makepyfile(f"""{APP}
    @pytest.fixture(scope="session")
    def postback_app():
        return {app}

    @pytest.fixture(scope="session")
    def postback_probe():
        return lambda action_id: {probe}

    @pytest.mark.postback("n.toml", only="state.duplicate")
    def test_it(postback_case):
        postback_case()
    """)
    result = inner.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([told])


def test_the_endpoint_can_be_restarted_by_a_function_of_the_partner(inner: pytest.Pytester) -> None:
    inner.makepyfile(f"""{APP}
    import asyncio

    CALLS = []

    @pytest.fixture(scope="session")
    def postback_app():
        return first_update_wins

    @pytest.fixture(scope="session", params=[lambda: CALLS.append(1), lambda: asyncio.sleep(0, CALLS.append(2))])
    def postback_restart(request):
        return request.param

    def test_it(postback_endpoint):
        before = len(CALLS)
        asyncio.run(postback_endpoint.restart())
        assert len(CALLS) == before + 1
    """)
    inner.runpytest_inprocess().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("notification", "app", "told"),
    [
        pytest.param(
            NOTIFICATION.replace("{Status}", '{join(items, i, "{i.sku"}'),
            "http://127.0.0.1:1/",
            ["n.toml, body, line 1, column 57: expected ',' and a separator, or ')}', got '}'", "*^"],
            id="a template that cannot be read",
        ),
        pytest.param(
            f"{NOTIFICATION}template.unknown_token = 'error'\n".replace("{Status}", "{Staus}"),
            "http://127.0.0.1:1/",
            ["n.toml, body, line 1, column 33: unknown token {Staus}", "*^", "Declare it under *"],
            id="a template that cannot be rendered",
        ),
        pytest.param(
            NOTIFICATION,
            "http://shop.example/",
            ["postback_endpoint: the target host shop.example *--postback-allow-host shop.example*"],
            id="an endpoint that is not allowed",
        ),
    ],
)
def test_what_keeps_all_cases_from_being_tried_is_told_in_full_once(
    inner: pytest.Pytester, notification: str, app: str, told: list[str]
) -> None:
    """The others say in a line what it is, and which test tells it."""
    inner.makefile(".toml", n=notification)
    inner.makepyfile(test_it="def test_it(postback_case): postback_case()")
    options = ("-rN", "--postback-notification=n.toml", "--postback-only=accepts.[de]*", f"--postback-app={app}")
    result = inner.runpytest_inprocess(*options)

    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(told)
    in_full = "in full at test_it.py::test_it[accepts.documented-example]"
    assert result.stdout.str().count(f"({in_full})") == 2
    assert result.stdout.str().count(told[0][:40]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param((), "there is no endpoint to test", id="no endpoint"),
        pytest.param(("--postback-app=http://127.0.0.1:1",), "there is no notification to test with", id="no settings"),
        pytest.param(
            ("--postback-app=http://shop.example/",),
            "unless you allow a host: --postback-allow-host",
            id="beyond this machine",
        ),
        pytest.param(("--postback-app=nowhere:app",), "No module named 'nowhere'", id="no such module"),
        pytest.param(
            ("--postback-app=http://127.0.0.1:1", "--postback-notification=none.toml"),
            "none.toml: cannot",
            id="no file",
        ),
        pytest.param(
            ("--postback-app=http://127.0.0.1:1", "--postback-notification=n.toml", "--postback-probe=probe"),
            """expected a path at the endpoint ("/probe"), a URL, module:function or a function, got 'probe'""",
            id="no such probe",
        ),
        pytest.param(("--postback-app=./serve now",), "where it takes its port: write {port}", id="no port"),
        pytest.param(("--postback-only=accept.*",), "no case is called 'accept.*'", id="no such case"),
        pytest.param(("--postback-replay=none.json",), "none.json: No such file", id="no such case file"),
        pytest.param(("--postback-seed=x",), "expected a whole number of at least 0, got 'x'", id="no such seed"),
        pytest.param(("--postback-max-examples=0",), "of at least 1, got '0'", id="no examples"),
        pytest.param(
            ("--postback-insecure", "--postback-ca-file=n.toml"),
            "--postback-insecure trusts any certificate, --postback-ca-file some; keep one of them",
            id="all and some certificates",
        ),
        pytest.param(("--postback-ca-file=none.pem",), "none.pem: no certificates can be read", id="no certificates"),
        pytest.param(("--postback-fail-on=may",), "expected must, should, info, got 'may'", id="no such level"),
    ],
)
def test_what_is_missing_or_wrong_is_told_without_a_traceback(
    inner: pytest.Pytester, options: tuple[str, ...], message: str
) -> None:
    inner.makefile(".toml", n=NOTIFICATION)
    inner.makepyfile("def test_it(postback_case): postback_case()")
    result = inner.runpytest_inprocess("--maxfail=1", *options)

    told = result.stdout.str() + result.stderr.str()
    assert result.ret != 0
    assert message in told
    assert "INTERNALERROR" not in told
    assert "Traceback" not in told
    assert not re.search(r"\.py:\d", told)


def test_an_application_is_found_where_pytest_was_started(inner: pytest.Pytester) -> None:
    """Also by `pytest`, which puts nothing on the path, and in a repository with a package called `receiver`."""
    inner.mkpydir("receiver")
    (inner.path / "receiver" / "app.py").write_text(
        "def app(environ, start):\n    start('204 No Content', [])\n    return []\n"
    )
    inner.makepyfile("def test_it(postback_endpoint): assert postback_endpoint.url.endswith('/hook')")
    result = inner.runpytest_inprocess("--postback-app=receiver.app:app", "--postback-path=/hook")

    result.assert_outcomes(passed=1)
