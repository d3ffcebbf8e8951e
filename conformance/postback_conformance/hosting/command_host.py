"""Starts the endpoint under test as a program of its own, and waits until it listens."""

import asyncio
import os
import random
import shlex
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Final

import msgspec

from postback_conformance.hosting.hosted import ENDS_WITHIN_S, LOOPBACK, STARTS_WITHIN_S, Hosted, HostingError
from postback_conformance.printable import printable

PORT_PLACE: Final = "{port}"

# Below those that systems give to whoever asks for any, Linux from 32768 on: what is free there stays free while a
# program starts, however many others look for a port meanwhile.
_PORTS: Final = range(20_000, 32_000)
_LOOKS_EVERY_S: Final = 0.02
_TOLD_BYTES: Final = 2000
_LONGEST_QUOTE: Final = 200


class Command(msgspec.Struct, frozen=True):
    """A program that is the endpoint: its words, what it finds in its environment besides ours, and its folder.

    The words are a list, or one text that is split as a shell splits it. `{port}` in a word, or in a value of `env`, is
    the port it is to listen on, on 127.0.0.1. `cwd` is the folder of whoever starts it unless given.
    """

    words: Sequence[str] | str
    env: Mapping[str, str] = {}
    cwd: str | os.PathLike[str] | None = None


@contextmanager
def started(
    command: Command, *, path: str = "/", port: int = 0, starts_within_s: float = STARTS_WITHIN_S
) -> Generator[Hosted]:
    """Run a command for as long as the block lasts; gives its endpoint once it listens, which can be restarted.

    Raises `HostingError` for one without a place for the port, and, with the end of what it printed, for one that ends
    or never listens.
    """
    words = _words(command)
    if not any(PORT_PLACE in text for text in (*words, *command.env.values())):
        raise HostingError(
            f"the endpoint's command {shlex.join(words)[:_LONGEST_QUOTE]} does not say where it takes its port: "
            f'write {PORT_PLACE} there, or Command([...], env={{"PORT": "{PORT_PLACE}"}}) if that is the environment'
        )
    with tempfile.TemporaryFile() as output:
        program = _Program(command, port=port or free_port(), starts_within_s=starts_within_s, output=output)
        program.start()
        try:
            yield Hosted(url=f"http://{LOOPBACK}:{program.port}{path}", restart=program.restart)
        finally:
            program.end()


class _Program:
    def __init__(self, command: Command, *, port: int, starts_within_s: float, output: IO[bytes]) -> None:
        self.port = port
        self._command = [part.replace(PORT_PLACE, str(port)) for part in _words(command)]
        told = {name: value.replace(PORT_PLACE, str(port)) for name, value in command.env.items()}
        self._environment = {**os.environ, **told}
        self._folder = command.cwd
        self._starts_within_s = starts_within_s
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        try:
            # In a session of its own, so that it can be ended with all that it starts.
            self._process = subprocess.Popen(  # noqa: S603  the partner's own command
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise HostingError(f"the endpoint's command {self._command[0]!r} cannot be started: {error}") from None
        try:
            self._wait_until_it_listens(self._process)
        except BaseException:
            self.end()
            raise

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        process = self._process
        if process is None:
            return
        _send_to_all(process, sign)
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            _send_to_all(process, signal.SIGKILL)
            process.wait()
        # What it started itself may have outlived it.
        _send_to_all(process, signal.SIGKILL)
        self._process = None

    async def restart(self) -> None:
        """End it the hard way, and return when it listens again."""
        await asyncio.to_thread(self._restart)

    def _restart(self) -> None:
        self.end(signal.SIGKILL)
        self.start()

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + self._starts_within_s
        while process.poll() is None:
            if _listens(self.port):
                return
            if time.monotonic() > until:
                raise HostingError(
                    f"the endpoint's command does not listen on {LOOPBACK}:{self.port} after "
                    f"{self._starts_within_s:g} s{self._told()}"
                )
            time.sleep(_LOOKS_EVERY_S)
        raise HostingError(f"the endpoint's command ended with exit code {process.returncode}{self._told()}")

    def _told(self) -> str:
        end = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, end - _TOLD_BYTES))
        text = self._output.read().decode("utf-8", "replace").strip()
        return f"; it printed:\n{printable(text, keep=chr(10))}" if text else ""


def _words(command: Command) -> Sequence[str]:
    if not isinstance(command.words, str):
        return command.words
    try:
        return shlex.split(command.words)
    except ValueError as error:
        raise HostingError(f"the endpoint's command {command.words[:_LONGEST_QUOTE]}: {error}") from None


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1) as connection:
        if connection.getsockname() != connection.getpeername():
            return True
        # A port that nobody listens on may be chosen for the connection's own end, which is then at both ends. A reset
        # leaves the port free.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def _send_to_all(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sign)


def free_port() -> int:
    """Return a port on 127.0.0.1 for a program that is told where to listen; raises `HostingError` if none is free."""
    # Not of the common chance, which others may set to be the same in each of several processes.
    for port in random.SystemRandom().sample(_PORTS, 100):
        with suppress(OSError), socket.create_server((LOOPBACK, port)):
            return port
    raise HostingError(f"no port from {_PORTS.start} to {_PORTS.stop - 1} could be taken on {LOOPBACK}")
