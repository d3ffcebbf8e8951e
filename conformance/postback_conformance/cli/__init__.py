"""The command `postback`. Results go to stdout, words beside them to stderr; exit codes say the rest.

0 fine · 1 findings · 2 usage or settings · 3 a fault of the kit · 4 nothing selected or nothing to judge · 130 Ctrl-C
"""

import io
import os
import sys
import traceback

_KIT_FAULT = (
    "This is a fault of Postback Kit, not of your traffic or settings. Please report it with the lines above "
    "(POSTBACK_DEBUG=1 shows the whole trace)."
)


def main() -> None:
    """Run the command line; every expected error is one message, without a trace."""
    _prepare_streams()
    try:
        # Imported in here, so that Ctrl-C while Python still loads is a Ctrl-C like any other.
        from postback_conformance.cli.application import run  # noqa: PLC0415

        code, message = run()
    except KeyboardInterrupt:
        code, message = 130, "stopped by Ctrl-C"
    except OSError as error:
        code, message = 2, f"the system refused: {error}"
    except Exception as error:  # noqa: BLE001  the last resort of a program
        lines = traceback.format_exception(error)
        shown = lines if os.environ.get("POSTBACK_DEBUG") else lines[-2:]
        code, message = 3, "".join(shown) + _KIT_FAULT
    if message:
        sys.stderr.write(f"postback: {message}\n")
    sys.exit(code)


def _prepare_streams() -> None:
    """Make output possible everywhere: a closed stream swallows it, and letters it does not know are spelt out.

    What is written to stdout is written whole.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  lives as long as we do
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  lives as long as we do
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        # With PYTHONUNBUFFERED a write that a signal interrupts is a short one, and the rest of it would be lost. What
        # is to be seen at once is flushed anyway.
        sys.stdout = open(sys.stdout.fileno(), "w", encoding=sys.stdout.encoding, closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


__all__ = ["main"]
