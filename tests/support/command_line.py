"""The command `postback` as a test sees it: how it is started, and how it ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

COMMAND: Final = (sys.executable, "-W", "error", "-m", "postback_conformance")

# Generous: a loaded machine must not fail a test that is about something else.
PATIENCE_S: Final = 60


def environment(**extra: str) -> dict[str, str]:
    """The environment of a user who has set nothing that we read, and `extra`."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("POSTBACK_") and name != "COLUMNS"
    }
    return {**inherited, "NO_COLOR": "1", **extra}


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams together."""
        return self.out + self.err


@dataclass(frozen=True)
class Listener:
    """A `postback listen` in the background."""

    process: subprocess.Popen[bytes]
    port: int
    store: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self, number: signal.Signals = signal.SIGINT) -> Outcome:
        """Signal it and wait for its end."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Outcome(self.process.returncode, out.decode(), err.decode())


class Run(Protocol):
    """Runs a command in an empty folder, with `env` added to its environment."""

    def __call__(self, *arguments: object, stdin: bytes = b"", env: Mapping[str, str] = ...) -> Outcome: ...


class Listen(Protocol):
    """Starts `postback listen` on a free port and returns once it is open."""

    def __call__(self, *arguments: object) -> Listener: ...
