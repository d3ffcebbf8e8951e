"""The command `postback`. People read stderr, programs read stdout; exit codes say the rest.

0 fine · 1 findings · 2 usage or settings · 3 a fault of the kit · 4 nothing selected or nothing to judge · 130 Ctrl-C
"""

import os
import sys
import traceback

from postback_conformance.cli import captures, demo, judging, listening, preview, sending
from postback_conformance.cli.application import app
from postback_conformance.cli.terminal import complain
from postback_conformance.errors import ConformanceError, SelectionError
from postback_receiver import ReceiverError
from postback_sender import SenderError

for _commands in (demo, preview, listening, sending, captures, judging):
    _commands.add_to(app)

_KIT_FAULT = (
    "This is a fault of Postback Kit, not of your traffic or settings. Please report it with the lines above "
    "(POSTBACK_DEBUG=1 shows the whole trace)."
)


def main() -> None:
    """Run the command line; every expected error is one message, without a trace."""
    try:
        app(prog_name="postback")
    except SelectionError as error:
        _exit(4, str(error))
    except (SenderError, ReceiverError, ConformanceError) as error:
        _exit(2, str(error))
    except KeyboardInterrupt:
        _exit(130, "stopped by Ctrl-C")
    except Exception as error:  # noqa: BLE001  the last resort of a program
        lines = traceback.format_exception(error)
        shown = lines if os.environ.get("POSTBACK_DEBUG") else lines[-2:]
        _exit(3, "".join(shown) + _KIT_FAULT)


def _exit(code: int, message: str) -> None:
    complain(message)
    sys.exit(code)


__all__ = ["app", "main"]
