"""Endpoints with a certificate of their own, under pytest."""

import asyncio
import ssl

import pytest

from partner_endpoint import JSON_SETTINGS, Partner, serving
from postback_conformance.suite.probe import ProbeError, probe_at
from postback_receiver.tls import make_tls

pytest_plugins = ["pytester"]


@pytest.fixture
def certificate(inner: pytest.Pytester) -> ssl.SSLContext:
    """What an endpoint speaks TLS with; whoever trusts ca.pem trusts it."""
    made = make_tls()
    (inner.path / "ca.pem").write_bytes(made.ca_pem)
    (inner.path / "n.toml").write_text(JSON_SETTINGS)
    inner.makepyfile("def test_it(postback_case): postback_case()")
    return made.context


def run(inner: pytest.Pytester, url: str, probe: str, *options: str) -> pytest.RunResult:
    told = (f"--postback-app={url}", "--postback-notification=n.toml", f"--postback-probe={probe}")
    return inner.runpytest_inprocess(*told, "--postback-only=accepts.documented-example", *options)


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        pytest.param(("--postback-insecure",), "", id="any"),
        pytest.param((), "postback_insecure = true", id="any, by an ini key"),
        pytest.param(("--postback-ca-file=ca.pem",), "", id="its own"),
        pytest.param((), "postback_ca_file = ca.pem", id="its own, by an ini key"),
    ],
)
def test_a_certificate_of_its_own_is_taken_at_the_endpoint_and_at_its_probe(
    inner: pytest.Pytester,
    certificate: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    keys: str,
) -> None:
    """A file in the ini file lies where that does, wherever pytest is started."""
    inner.makeini(f"[pytest]\nfilterwarnings = error\n{keys}\n")
    partner = Partner()
    partner.tls = certificate
    if "ca_file" in keys:
        monkeypatch.chdir(inner.mkdir("below"))
        options = (str(inner.path),)
    with serving(partner) as url:
        run(inner, url, "/probe", *options).assert_outcomes(passed=1)


def test_a_certificate_that_nobody_trusts_is_told_with_the_flags_that_pytest_has_for_it(
    inner: pytest.Pytester, certificate: ssl.SSLContext
) -> None:
    partner = Partner()
    partner.tls = certificate
    with serving(Partner()) as plain, serving(partner) as url:
        endpoint = run(inner, url, "/probe")
        probe = run(inner, plain, url.replace("/postback", "/probe"))

    endpoint.assert_outcomes(failed=1)
    told = " ".join(endpoint.stdout.str().split())
    assert "Trust the endpoint's certificate with --postback-ca-file FILE, or any with --postback-insecure;" in told
    probe.assert_outcomes(failed=1)
    told = " ".join(probe.stdout.str().split())
    assert "; --postback-ca-file FILE trusts its certificate, --postback-insecure any" in told


def test_a_probe_whose_certificate_nobody_trusts_names_the_flags_of_conform(certificate: ssl.SSLContext) -> None:
    partner = Partner()
    partner.tls = certificate
    with (
        serving(partner) as url,
        pytest.raises(ProbeError, match=r"; --ca-file FILE trusts its certificate, --insecure any$"),
    ):
        asyncio.run(probe_at("/probe", endpoint=url).recorded("1"))
