"""The application all commands are added to, and the flags that come before a command."""

import logging
from importlib.metadata import version
from typing import Annotated

import typer

from postback_conformance.cli.terminal import say, set_quiet

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
        typer.echo(f"postback-kit {version('postback-kit')}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more, such as the program's own log.")] = False,
    _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    set_quiet(quiet)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.ERROR, format="%(name)s: %(message)s")
    if verbose:
        say(f"postback-kit {version('postback-kit')}")
