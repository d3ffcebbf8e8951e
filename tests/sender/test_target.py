"""Where postbacks may go."""

import pytest

from postback_sender.delivery.target import check_target, is_address_allowed
from postback_sender.errors import TargetError


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://127.9.9.9:1/x", "https://localhost:8443/", "http://[::1]:80/"]
)
def test_this_machine_is_always_allowed(url: str) -> None:
    check_target(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://user@example.com:80/",
        "http://2130706433/",
        "file:///etc/passwd",
        "http:///x",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1\\@192.0.2.1/",
        "http://[::1/",
        "",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(TargetError):
        check_target(url)


def test_a_named_host_is_allowed_and_no_other() -> None:
    check_target("https://staging.example.com/x", allowed_hosts=["staging.example.com"])
    with pytest.raises(TargetError, match=r"--allow-host www\.example\.com"):
        check_target("https://www.example.com/x", allowed_hosts=["staging.example.com"])


def test_the_case_of_a_host_does_not_matter() -> None:
    check_target("https://Staging.Example.com/x", allowed_hosts=["staging.EXAMPLE.com"])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/?token=hunter2",
        "ftp://127.0.0.1/hunter2",
        "ftp://user:hunter2@127.0.0.1/",
        "http://user:hunter2@example.com/",
        "http://user:hunter2@[::1/",
        "http://user:hunter2",
        "http://user:hunter2/@example.com",
        "http://user:hunter2@example.com:99999/",
        "http://user:hunter2@exam\u2100ple.com/",
        "user:hunter2@example.com",
        "user:hunter2://example.com",
        "http://hunter2@",
    ],
)
def test_an_error_names_no_more_than_the_host(url: str) -> None:
    with pytest.raises(TargetError) as caught:
        check_target(url)
    assert "hunter2" not in str(caught.value)


def test_an_error_names_scheme_and_host() -> None:
    with pytest.raises(TargetError, match=r"got 'ftp://\[::1\]'$"):
        check_target("ftp://me@[::1]:21/x?y")


@pytest.mark.parametrize("allowed", ["10.0.0.1", "10.0.0.0/24"])
def test_an_address_or_a_network_can_be_named(allowed: str) -> None:
    check_target("http://10.0.0.1/", allowed_hosts=[allowed])
    with pytest.raises(TargetError):
        check_target("http://10.0.1.1/", allowed_hosts=[allowed])


@pytest.mark.parametrize(
    ("host", "address", "allowed_hosts", "expected"),
    [
        pytest.param("localhost", "127.0.0.1", (), True, id="this machine by name"),
        pytest.param("localhost", "10.0.0.1", (), False, id="this machine's name for another"),
        pytest.param("shop.example", "93.184.216.34", ("shop.example",), True, id="a public address"),
        pytest.param("shop.example", "93.184.216.34", (), False, id="a public address nobody named"),
        pytest.param("shop.example", "127.0.0.1", ("shop.example",), False, id="a name for this machine"),
        pytest.param("shop.example", "192.168.1.5", ("shop.example",), False, id="a private address"),
        pytest.param("shop.example", "192.168.1.5", ("shop.example", "192.168.0.0/16"), True, id="both are named"),
        pytest.param("shop.example", "fe80::1", ("shop.example",), False, id="a link-local address"),
        pytest.param(
            "shop.example", "2606:4700::6810:85e5", ("shop.example",), True, id="a public one of the new kind"
        ),
        *(
            pytest.param("shop.example", address, ("shop.example",), False, id=f"disguise {number}")
            for number, address in enumerate(
                ("::ffff:10.0.0.1", "::10.0.0.1", "2002:a00:1::1", "64:ff9b::a00:1", "fec0::1", "224.0.0.1", "ff02::1")
            )
        ),
    ],
)
def test_where_a_name_leads_counts_too(
    host: str,
    address: str,
    allowed_hosts: tuple[str, ...],
    expected: bool,  # noqa: FBT001  a table of claims
) -> None:
    assert is_address_allowed(host, address, allowed_hosts=allowed_hosts) is expected
