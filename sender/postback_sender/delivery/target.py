"""Where a postback may go: loopback, unless the caller names the host. A test tool must not flood a stranger.

A host is allowed by its name, an address or a network (`10.1.2.0/24`). A name alone opens public addresses only: what
it stands for is decided elsewhere, and a private network it leads into has to be allowed by address as well.
"""

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from postback_sender.errors import TargetError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 8215: what it carries is for one network to know.
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_AUTHORITY_END = re.compile(r"[/?#\\]")


def check_target(url: str, *, allowed_hosts: Collection[str] = ()) -> None:
    """Raise `TargetError` unless the URL is http(s) and its host is loopback or among the allowed ones."""
    # The many postbacks of one notification go to few servers.
    begin = url.find("://") + len("://")
    end = _AUTHORITY_END.search(url, begin)
    if end and end[0] == "\\":
        # Some readers take it for a slash, others for part of the host.
        raise TargetError(f"expected a target without a backslash in its host, got {_shown(url)}")
    _check_server(url[: end.start()] if end else url, tuple(allowed_hosts))


@lru_cache(maxsize=1024)
def _check_server(url: str, allowed_hosts: tuple[str, ...]) -> None:
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
    if not _is_allowed(host, allowed_hosts):
        raise TargetError(
            f"the target host {host} is not this machine; postbacks go to loopback unless you allow a host: "
            f"--allow-host {host}, or allowed_hosts in Python"
        )


def is_address_allowed(host: str, address: str, *, allowed_hosts: Collection[str] = ()) -> bool:
    """Tell whether a connection to an address may be made that a host's name was resolved to."""
    ip = ipaddress.ip_address(address)
    if ip.is_loopback and _is_loopback(host):
        return True
    if any(ip in network for network in _networks(allowed_hosts)):
        return True
    return _is_public(ip) and _is_named(host, allowed_hosts)


def _is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address is one of the public Internet's, also by the older address that it may carry."""
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour
        # RFC 6052 §2.1, and the compatible addresses that RFC 4291 §2.5.5.1 gave up.
        if carried is None and (ip in _NAT64 or int(ip) >> 32 == 0):
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if ip.is_site_local or ip in _LOCAL_NAT64 or (carried is not None and not _is_public(carried)):
            return False
    return ip.is_global and not ip.is_multicast


def _is_allowed(host: str, allowed_hosts: Collection[str]) -> bool:
    if _is_loopback(host) or _is_named(host, allowed_hosts):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _networks(allowed_hosts))


def _is_named(host: str, allowed_hosts: Collection[str]) -> bool:
    return host in {allowed.lower() for allowed in allowed_hosts}


def _networks(allowed_hosts: Collection[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return the addresses and networks among the allowed hosts; the others are names."""
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for allowed in allowed_hosts:
        try:
            networks.append(ipaddress.ip_network(allowed, strict=False))
        except ValueError:
            continue
    return networks


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
