"""A process that has imported the kit, and forks a child for each command it is asked to run.

    python -W error fork_server.py NUMBER      serve on the inherited socket with this number, until stdin ends

A child is a process like any other (its own pid, folder, environment, standard streams, signals and end), minus the
half second in which an interpreter loads the kit. It is forked before there is a thread or an event loop, and nothing a
command does reaches the next one. What a module reads when it is imported was read in the environment of the server.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Final, Literal, NamedTuple, NoReturn, TextIO

# What waits longer than this has hung. Generous: a loaded machine must not fail a test that is about something else.
PATIENCE_S: Final = 60.0
STANDARD_STREAMS: Final = 3


class Order(NamedTuple):
    """A command to run, and the folder and environment to run it in."""

    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]


class Handle:
    """A command that was handed over. Only one thread may use it."""

    def __init__(self, address: str, order: Order, streams: Sequence[int]) -> None:
        """Have a command run with these standard streams. Raises `OSError` when the server has ended."""
        self._server: Final = socket.socket(socket.AF_UNIX)
        self._server.settimeout(PATIENCE_S)
        try:
            self._server.connect(address)
            socket.send_fds(self._server, [b" "], list(streams))
            self._server.sendall(json.dumps(order).encode() + b"\n")
            self._lines: Final = self._server.makefile("rb", buffering=0)
            self.pid: Final = int(self._lines.readline() or b"0")
        except BaseException:
            self._server.close()
            raise
        if not self.pid:
            self._server.close()
            raise ConnectionError("the fork server has ended")
        self.exit_code: int | None = None

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit code, -9 for SIGKILL and so on; None when it still runs after this many seconds."""
        if self.exit_code is None and select.select([self._server], [], [], timeout_s)[0]:
            line = self._lines.readline()
            self._lines.close()
            self._server.close()
            if not line:
                raise ConnectionError("the fork server has ended")
            self.exit_code = int(line)
        return self.exit_code

    def send_signal(self, number: int) -> None:
        """Signal the command, unless it has ended."""
        if self.wait(0) is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def stand_in(address: str, *arguments: str) -> int:
    """Run a command in this process' place, and return the exit code; signals are passed on."""
    handle = Handle(address, Order(arguments, str(Path.cwd()), dict(os.environ)), range(STANDARD_STREAMS))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: handle.send_signal(number))
    while (code := handle.wait(PATIENCE_S)) is None:
        pass
    # As a shell says it.
    return code if code >= 0 else 128 - code


class _Child(NamedTuple):
    """A command that runs: its pid, and the connection on which its end is awaited."""

    pid: int
    connection: socket.socket


def serve(listener: socket.socket, lifeline: int) -> bool:
    """Fork for each order; return True in the child, and False in the server, when the lifeline ends."""
    children: dict[int, _Child] = {}
    while True:
        waiting = {child.connection.fileno(): child for child in children.values()}
        # One at a time, ends first: each changes what there is to wait for.
        ready = select.select([lifeline, *children, *waiting, listener.fileno()], [], [])[0][0]
        if ready == lifeline:
            for child in children.values():
                os.kill(child.pid, signal.SIGKILL)
            return False
        if ready in children:
            child = children.pop(ready)
            # Nobody but the child held the other end: it has ended, or is about to.
            os.close(ready)
            _tell(child.connection, os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]))
            child.connection.close()
        elif ready in waiting:
            # Whoever asked says nothing more, so they have left; what they started is not left behind.
            os.kill(waiting[ready].pid, signal.SIGKILL)
        else:
            connection = listener.accept()[0]
            order, streams = _receive(connection)
            ended, alive = os.pipe()
            if not (pid := os.fork()):
                _become(order, streams)
                for number in (*streams, ended, *children):
                    os.close(number)
                for mine in (connection, *(child.connection for child in children.values())):
                    mine.close()
                return True
            for number in (*streams, alive):
                os.close(number)
            children[ended] = _Child(pid, connection)
            _tell(connection, pid)


def _tell(connection: socket.socket, number: int) -> None:
    try:
        connection.sendall(b"%d\n" % number)
    except OSError:
        # Whoever asked has left: nobody wants to know.
        return


def _receive(connection: socket.socket) -> tuple[Order, list[int]]:
    connection.settimeout(PATIENCE_S)
    _, streams, _, _ = socket.recv_fds(connection, 1, STANDARD_STREAMS)
    with connection.makefile("rb") as lines:
        return Order(*json.loads(lines.readline())), streams


def _become(order: Order, streams: Sequence[int]) -> None:
    """Make this process what a fresh interpreter would be."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    # What the server has on these numbers was asked when it began whether it is a file, in which one can seek.
    sys.stdin = _text_stream(sys.stdin, "r")
    sys.stdout = _text_stream(sys.stdout, "w")
    sys.stderr = _text_stream(sys.stderr, "w", buffering=1)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv[:] = order.arguments
    sys.path[0] = order.folder


def _text_stream(before: TextIO, mode: Literal["r", "w"], buffering: int = -1) -> TextIO:
    return open(before.fileno(), mode, buffering, encoding=before.encoding, errors=before.errors, closefd=False)


def _import_the_kit() -> None:
    # What the first command would load, and each after it again.
    with suppress(ImportError):
        import_module("typer._adapters")
    for name in ("postback_sender", "postback_receiver", "postback_conformance"):
        package = import_module(name)
        for module in walk_packages(package.__path__, f"{name}."):
            # One that cannot be imported fails the command that needs it, and no other.
            if not module.name.endswith("__main__"):
                with suppress(Exception):
                    import_module(module.name)


def _run_command() -> NoReturn:
    """Run the command line and end as an interpreter does, except that what all commands share is not taken apart."""
    try:
        import_module("postback_conformance.cli").main()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    else:
        code = 0
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  there is no other way
    # What was left open complains now; none of it is from before the fork.
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Serve; in a child, be the command."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    # What a shell runs in the background ignores it, and so would every command that is to be stopped by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _import_the_kit()
    # A child neither looks through what is everybody's nor, by that, copies it.
    gc.collect()
    gc.freeze()
    is_child = serve(listener, sys.stdin.fileno())
    listener.close()
    if is_child:
        _run_command()


if __name__ == "__main__":
    main()
