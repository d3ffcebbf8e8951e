"""Where a recorded request may be sent again without being told: this machine, and nowhere else."""

import re
from typing import Final

from postback_receiver import Capture

ELSEWHERE: Final = "http://127.0.0.1:8080"
"""Where requests go that were sent to another machine, unless somebody says otherwise."""

_LOOPBACK = re.compile(r"(?i)(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?")


def home_server(capture: Capture) -> str:
    """Return scheme and authority of the server that a request was sent to, if its Host names this machine."""
    host = next(iter(capture.header("Host")), "")
    return f"{'https' if capture.tls else 'http'}://{host}" if _LOOPBACK.fullmatch(host) else ELSEWHERE
