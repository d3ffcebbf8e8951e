"""The application all commands are added to, and the flags that come before a command."""

import importlib.metadata
import logging
import sys
from typing import Annotated

import typer

from postback_conformance.cli import captures, demo, judging, linting, listening, matching, rendering, sending, tokens
from postback_conformance.cli.terminal import say, set_quiet
from postback_conformance.errors import ConformanceError, SelectionError
from postback_receiver import CaptureLookupError, ReceiverError
from postback_sender import SenderError

# Every flag of every command has a twin in the environment: `listen --port` is POSTBACK_LISTEN_PORT.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "POSTBACK", "help_option_names": ["-h", "--help"]},
    help="Send, receive and judge impact.com event notifications (postbacks) on this machine.",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  typer hands it over like that
    if wanted:
        typer.echo(f"postback-kit {importlib.metadata.version('postback-kit')}")
        raise typer.Exit


def run() -> tuple[int, str]:
    """Run the command of this process; return its exit code and, when it failed, one message for a person."""
    stdout = sys.stdout
    try:
        app(prog_name="postback")
    except (SelectionError, CaptureLookupError) as error:
        return 4, str(error)
    except (SenderError, ReceiverError, ConformanceError) as error:
        return 2, str(error)
    except SystemExit as exit_:
        if sys.stdout is not stdout:
            # Typer's answer to a reader who has left, as in `| head`: it silences stdout and exits with 1. Here 1 means
            # findings, so this is what a shell reports of any program that SIGPIPE ended.
            return 141, ""
        return (exit_.code, "") if isinstance(exit_.code, int) else (int(exit_.code is not None), "")
    return 0, ""


@app.callback()
def _before_any_command(
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more, such as the program's own log.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    _ = version
    set_quiet(quiet)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, format="%(name)s: %(message)s")
    if verbose:
        say(f"postback-kit {importlib.metadata.version('postback-kit')}")


for _commands in (demo, rendering, matching, linting, tokens, listening, sending, captures, judging):
    _commands.add_to(app)
