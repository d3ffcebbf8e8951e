"""Where a postback may go: loopback, unless the caller names the host. A test tool must not flood a stranger."""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from postback_sender.errors import TargetError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_AUTHORITY_END = re.compile(r"[/?#\\]")


def check_target(url: str, *, allowed_hosts: Collection[str] = ()) -> None:
    """Raise `TargetError` unless the URL is http(s) and its host is loopback or among the allowed ones."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        # The reason repeats what could not be read, and that may be a password.
        raise TargetError(
            f"expected a target such as http://127.0.0.1:8080/postback, got {_shown(url)}, "
            "whose host or port cannot be read"
        ) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise TargetError(f"expected a target such as http://127.0.0.1:8080/postback, got {_shown(url)}")
    if host not in {allowed.lower() for allowed in allowed_hosts} and not _is_loopback(host):
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
    # User info, port, path and query may carry a partner's secret: an error text is no place for it.
    scheme, _, rest = url.partition("://")
    if not _SCHEME.fullmatch(scheme) or not rest:
        return "a text without scheme and host"
    authority = _AUTHORITY_END.split(rest, maxsplit=1)[0].rpartition("@")[2]
    host = authority.partition("]")[0] + "]" if authority.startswith("[") else authority.partition(":")[0]
    return repr(f"{scheme}://{host}"[:200])
