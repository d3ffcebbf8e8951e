"""Where a postback may go: loopback, unless the caller names the host. A test tool must not flood a stranger."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from postback_sender.errors import TargetError


def check_target(url: str, *, allowed_hosts: Collection[str] = ()) -> None:
    """Raise `TargetError` unless the URL is http(s) and its host is loopback or among the allowed ones."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise TargetError(f"{_shown(url)} is not a URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise TargetError(f"expected a target such as http://127.0.0.1:8080/postback, got {_shown(url)}")
    if host not in allowed_hosts and not _is_loopback(host):
        raise TargetError(
            f"the target host {host} is not this machine; postbacks go to loopback unless you allow a host: "
            f"--allow-host {host}, or allowed_hosts in Python"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(url: str) -> str:
    # The query may carry a partner's token: an error text is no place for it.
    return repr(url.split("?", 1)[0][:200])
