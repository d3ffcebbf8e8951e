"""Starts an endpoint anew by a command of its partner's, such as `docker compose restart shop`."""

import asyncio
import os
import shlex
import shutil
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import IO, Any, Final

from postback_conformance.errors import ConformanceError
from postback_conformance.hosting.hosted import STARTS_WITHIN_S, HostingError
from postback_conformance.printable import printable
from postback_sender.delivery.origin import Origin

_SHELL_SYNTAX: Final = frozenset({"&&", "||", "|", ";", "&", ">", "<"})
_LOOKS_EVERY_S: Final = 0.05
_ONE_LOOK_S: Final = 1.0
_TOLD_BYTES: Final = 1000


def restart_by(
    command: str, origin: Origin, *, within_s: float = STARTS_WITHIN_S
) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return what runs a command and returns when the endpoint listens again, or raises `HostingError`.

    The command is words as a shell splits them; no shell runs it. It and the endpoint's start may take `within_s`
    together. Raises `ConformanceError` for a command that cannot be run at all.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConformanceError(
            f"--restart {command}: {error}; expected a command, such as 'docker restart shop'"
        ) from None
    if syntax := [word for word in words if word in _SHELL_SYNTAX]:
        raise ConformanceError(f"--restart {command}: no shell runs it; put what needs {syntax[0]} into a script")
    if not words or shutil.which(words[0]) is None:
        name = words[0] if words else ""
        raise ConformanceError(f"--restart: there is no program {name!r}; expected a command without a shell's syntax")

    async def restart() -> None:
        with tempfile.TemporaryFile() as output:
            try:
                async with asyncio.timeout(within_s):
                    await _run(words, output)
                    await _until_it_listens(origin)
            except TimeoutError:
                told = _end_of(output)
                raise HostingError(
                    f"the restart command was not done, or {origin.host}:{origin.port} not listening, "
                    f"after {within_s:g} s{told}"
                ) from None

    return restart


async def _run(words: list[str], output: IO[bytes]) -> None:
    try:
        # Into a file: what it leaves running keeps a pipe open. In a session of its own, so that it can be ended whole.
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    except OSError as error:
        raise HostingError(f"the restart command {words[0]!r} cannot be started: {error.strerror}") from None
    try:
        code = await process.wait()
    except BaseException:
        await _end(process)
        raise
    if code:
        raise HostingError(f"the restart command ended with exit code {code}{_end_of(output)}")


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def _until_it_listens(origin: Origin) -> None:
    while True:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_ONE_LOOK_S):
                _, writer = await asyncio.open_connection(origin.host, origin.port)
            writer.close()
            return
        await asyncio.sleep(_LOOKS_EVERY_S)


def _end_of(output: IO[bytes]) -> str:
    end = output.seek(0, os.SEEK_END)
    output.seek(max(0, end - _TOLD_BYTES))
    text = output.read().decode("utf-8", "replace").strip()
    return f"; it printed: {printable(text)}" if text else ""
