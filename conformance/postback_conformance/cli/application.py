"""The application all commands are added to, and the flags that come before a command."""

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from postback_conformance.cli.saying import say, set_quiet
from postback_conformance.errors import ConformanceError, SelectionError
from postback_receiver import CaptureLookupError, ReceiverError
from postback_sender import SenderError

# In the order of the help: each command, and the module beside this one that holds it.
_LOADED_WHEN_USED = {
    "demo": "postback_conformance.cli.demo",
    "render": "postback_conformance.cli.rendering",
    "match": "postback_conformance.cli.matching",
    "lint": "postback_conformance.cli.linting",
    "tokens": "postback_conformance.cli.tokens",
    "listen": "postback_conformance.cli.listening",
    "send": "postback_conformance.cli.sending",
    "outbox": "postback_conformance.cli.outbox",
    "list": "postback_conformance.cli.captures",
    "show": "postback_conformance.cli.captures",
    "export": "postback_conformance.cli.exporting",
    "import": "postback_conformance.cli.importing",
    "replay": "postback_conformance.cli.replaying",
    "check": "postback_conformance.cli.judging",
    "conform": "postback_conformance.cli.conforming",
    "rules": "postback_conformance.cli.rules",
}


def application(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the application with all commands, or with that of the arguments: nobody waits for the others to load."""
    # Every flag of every command has a twin in the environment: `listen --port` is POSTBACK_LISTEN_PORT.
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"auto_envvar_prefix": "POSTBACK", "help_option_names": ["-h", "--help"]},
        help="Send, receive and judge impact.com event notifications (postbacks) on this machine.",
    )
    app.callback()(_before_any_command)
    asked = next((argument for argument in arguments if not argument.startswith("-")), "")
    added: set[str] = set()
    for name in [asked] if asked in _LOADED_WHEN_USED else _LOADED_WHEN_USED:
        module = import_module(_LOADED_WHEN_USED[name])
        if module.__name__ not in added:
            added.add(module.__name__)
            module.add_to(app)
    return app


def _version() -> str:
    # Imported when used: it takes as long as a command does.
    from importlib.metadata import version  # noqa: PLC0415

    return f"postback-kit {version('postback-kit')}"


def _print_version(wanted: bool) -> None:  # noqa: FBT001  typer hands it over like that
    if wanted:
        typer.echo(_version())
        raise typer.Exit


def run() -> tuple[int, str]:
    """Run the command of this process; return its exit code and, when it failed, one message for a person."""
    stdout = sys.stdout
    try:
        application(sys.argv[1:])(prog_name="postback")
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
        say(_version())
