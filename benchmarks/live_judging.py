"""What judging costs a receiver: `python benchmarks/live_judging.py` floods `postback listen` with and without it.

Both run on one core beside a bare aiohttp application, and the load comes from another; the rounds alternate, and every
request is another postback. Counted is the CPU time of the servers while the load lasts, per request, so that the rest
of the machine matters little; told are ratios within a round. Judging takes a share of the time and no more, so it is
also told how much of such a flood is left to `postback check`.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from capturing import Server, running
from judging import captures, sample
from load import load, on_core
from postback_receiver import Capture

ROUNDS = 2
# So many that what is saved up for bursts, a fifth of a second, is little of it.
REQUESTS = 40_000
MOST_SPREAD = 0.25
FLOOR = 0.75
FLOOR_OF_BARE = 0.5
SETTINGS = Path(__file__).parents[1] / "conformance/postback_conformance/demo_notifications/corrected.toml"
_PATIENCE_S = 30.0
_LEFT_OUT = re.compile(rb"([0-9]+) captures came too fast")


class Listener:
    """A `postback listen`; once it has ended, `left_out` is how many captures it had no time to judge."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port
        self.left_out = 0


@contextmanager
def listening(folder: Path, notification: Path | None) -> Generator[Listener]:
    """Run a receiver that keeps its captures in a folder until the end of the block."""
    folder.mkdir()
    port_file, told = folder / "port", folder / "told"
    command = ["-m", "postback_conformance", "listen", "--port", "0", "--port-file", str(port_file)]
    command += ["--store", str(folder / "captures.sqlite")]
    command += ["--notification", str(notification)] if notification else []
    with (
        told.open("wb") as stderr,
        subprocess.Popen(  # noqa: S603  ours
            [*on_core(0), sys.executable, *command], stdout=subprocess.DEVNULL, stderr=stderr
        ) as process,
    ):
        try:
            listener = Listener(process.pid, _port(port_file))
            yield listener
        finally:
            process.terminate()
            process.wait(_PATIENCE_S)
    found = _LEFT_OUT.search(told.read_bytes())
    listener.left_out = int(found[1]) if found else 0


def _port(file: Path) -> int:
    for _ in range(int(_PATIENCE_S * 20)):
        if file.exists() and (text := file.read_text()).strip():
            return int(text)
        time.sleep(0.05)
    raise TimeoutError(f"no port in {file} after {_PATIENCE_S:.0f} s")


def cpu_s(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def requests() -> Iterator[bytes]:
    """Yield requests that the notification makes, each the bytes of one."""
    yield from map(_request, captures(sample("corrected")))


def _request(capture: Capture) -> bytes:
    head = [f"{capture.method} {capture.target} HTTP/1.1", *(f"{name}: {value}" for name, value in capture.headers)]
    return "\r\n".join((*head, "", "")).encode("latin-1") + capture.body


def main() -> int:
    """Print the ratios; 1 when a floor is missed in a run that counts."""
    made = requests()
    rates: dict[str, list[float]] = {"bare": [], "without": [], "judging": []}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        judging = stack.enter_context(listening(folder / "judging", SETTINGS))
        without = stack.enter_context(listening(folder / "without", None))
        servers: dict[str, Listener | Server] = {
            "bare": stack.enter_context(running("bare")),
            "without": without,
            "judging": judging,
        }
        for number in range(ROUNDS + 1):
            ready = [*islice(made, REQUESTS)]
            for kind, server in servers.items():
                begun = cpu_s(server.pid)
                load(server.port, REQUESTS, ready)
                # The first round is for warming up.
                rates[kind] += [REQUESTS / (cpu_s(server.pid) - begun)] if number else []
    sent = REQUESTS * (ROUNDS + 1)
    base = statistics.median(rates["without"])
    spread = (max(rates["without"]) - min(rates["without"])) / base
    of_other, of_bare = _ratio(rates["judging"], rates["without"]), _ratio(rates["judging"], rates["bare"])
    void = ", VOID" if spread > MOST_SPREAD else ""
    print(f"without judging: {base:.0f} requests for each second of CPU time (spread {spread:.0%}{void})")
    print(f"  {of_other:.2f} x its rate  with judging   floor {FLOOR}")
    print(f"  {of_bare:.2f} x the rate of bare aiohttp  with judging   floor {FLOOR_OF_BARE}")
    print(f"left to `postback check`: {judging.left_out} of {sent} captures")
    return int(spread <= MOST_SPREAD and (of_other < FLOOR or of_bare < FLOOR_OF_BARE))


def _ratio(rates: list[float], reference: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(rates, reference, strict=True))


if __name__ == "__main__":
    sys.exit(main())
