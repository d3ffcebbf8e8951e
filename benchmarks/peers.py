"""What others need for the same work: `python benchmarks/peers.py` compares the kit with its peers, in one run.

    .venv/bin/python benchmarks/peers.py [--pytest-httpserver PYTHON] [--mountebank MB] [--wiremock JAR]

Each server keeps every request and is told to be quiet, in processes of its own on one core; the load comes from this
one on another. Counted is the CPU time of a server and its children for a request, and the memory that stays. The
rounds alternate. The reference is the capture server with a SQLite store; the command around it is a row of its own.
The peers are no part of the kit: those that are named, here or in the environment, take part. Linux only. Exit code 1
when a request is missing, or when a peer comes too near in a run that counts; 2 when no peer is named.
"""

import argparse
import http.client
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from capturing import running
from load import CONNECTIONS, load, on_core
from postback_receiver import open_store

OURS = "capture server"
COMMAND = "postback listen"
ROUNDS = 11
REQUESTS = 4000
WARM_UP = 5 * REQUESTS  # a Java machine compiles what is used often
FLOOR, AIM = 3.5, 6.0
MOST_SPREAD = 0.25
MOST_START_S = 60

PYTEST_HTTPSERVER = """
import logging, sys, threading
from pytest_httpserver import HTTPServer
from werkzeug import Response
logging.getLogger("werkzeug").setLevel(logging.WARNING)
with HTTPServer(port=int(sys.argv[1])) as server:
    server.expect_request("/postback", method="POST").respond_with_data(b"")
    server.expect_request("/recorded").respond_with_handler(lambda _: Response(f'{{"count": {len(server.log)}}}'))
    threading.Event().wait()
"""


class Server(NamedTuple):
    """A server that runs; `recorded` asks it how many requests it has kept."""

    pid: int
    port: int
    recorded: Callable[[], int]

    def cpu_s(self) -> float:
        """Return the CPU seconds of its processes, those that have ended included."""
        return sum(process.cpu_s for process in _tree(self.pid))

    def resident(self) -> int:
        """Return the bytes of memory that its processes hold."""
        pages = (int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) for process in _tree(self.pid))
        return sum(pages) * resource.getpagesize()


class Process(NamedTuple):
    """A process as the system lists it."""

    pid: int
    parent: int
    cpu_s: float


class Peer(NamedTuple):
    """A peer: how it is run from what names it, what that is, and where it comes from."""

    run: Callable[[Path, Path], AbstractContextManager[Server]]
    named_by: str
    from_where: str


@contextmanager
def capture_server(folder: Path) -> Generator[Server]:
    """Run the kit's server as a program uses it that has one."""
    store = folder / "captures.sqlite"
    with running("sqlite", str(store)) as server:
        yield Server(server.pid, server.port, lambda: open_store(store).count())


@contextmanager
def postback_listen(folder: Path) -> Generator[Server]:
    """Run the kit's command."""
    store, port = folder / "captures.sqlite", _free_port()
    command = [sys.executable, "-m", "postback_conformance", "--quiet", "listen"]
    with _running([*command, "--port", str(port), "--store", str(store)], folder, port) as pid:
        yield Server(pid, port, lambda: open_store(store).count())


@contextmanager
def pytest_httpserver(python: Path, folder: Path) -> Generator[Server]:
    """Run it as its fixture does: one thread, and each connection is closed after its answer."""
    port = _free_port()
    with _running([str(python), "-c", PYTEST_HTTPSERVER, str(port)], folder, port) as pid:
        yield Server(pid, port, lambda: int(_ask(port, "GET", "/recorded")["count"]))


@contextmanager
def mountebank(mb: Path, folder: Path) -> Generator[Server]:
    """Run it with one imposter that records. It would close each connection if the answer did not say otherwise."""
    port, admin = _free_port(), _free_port()
    answer = {"is": {"statusCode": 200, "headers": {"Connection": "keep-alive", "Content-Length": "0"}}}
    imposter = {"port": port, "protocol": "http", "recordRequests": True, "stubs": [{"responses": [answer]}]}
    (folder / "imposters.json").write_text(json.dumps({"imposters": [imposter]}))
    command = [str(mb), "start", "--port", str(admin), "--localOnly", "--nologfile", "--loglevel", "error"]
    with _running([*command, "--configfile", "imposters.json"], folder, port) as pid:
        yield Server(pid, port, lambda: len(_ask(admin, "GET", f"/imposters/{port}")["requests"]))


@contextmanager
def wiremock(jar: Path, folder: Path) -> Generator[Server]:
    """Run it with one stub; its journal is on unless it is told otherwise."""
    port = _free_port()
    stub = {"request": {"method": "POST", "urlPath": "/postback"}, "response": {"status": 200}}
    (folder / "mappings").mkdir()
    (folder / "mappings" / "postback.json").write_text(json.dumps(stub))
    command = ["java", "-jar", str(jar), "--bind-address", "127.0.0.1", "--port", str(port), "--disable-banner"]
    with _running([*command, "--use-chunked-encoding", "never"], folder, port) as pid:
        journal = "/__admin/requests/count"
        yield Server(pid, port, lambda: int(_ask(port, "POST", journal, {"method": "POST"})["count"]))


PEERS = {
    "pytest-httpserver": Peer(
        pytest_httpserver, "PYTHON", "pip install pytest-httpserver, into an environment of its own"
    ),
    "mountebank": Peer(mountebank, "MB", "npm install mountebank, then node_modules/.bin/mb"),
    "wiremock": Peer(wiremock, "JAR", "npm install wiremock, then node_modules/wiremock/build/*.jar; it needs Java"),
}


def main() -> int:
    """Print what each peer needs; 1 when something is missed in a run that counts."""
    named = _named()
    for name, peer in PEERS.items():
        if name not in named:
            print(f"without {name}: --{name} {peer.named_by} or {_variable(name)} names it ({peer.from_where})")
    if not named:
        return 2
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        runs: dict[str, Callable[[Path], AbstractContextManager[Server]]] = {
            OURS: capture_server,
            COMMAND: postback_listen,
        }
        runs |= {name: partial(PEERS[name].run, path) for name, path in named.items()}
        servers: dict[str, Server] = {}
        for name, run in runs.items():
            home = Path(folder) / name
            home.mkdir()
            servers[name] = stack.enter_context(run(home))
        return _compare(servers)


def _compare(servers: dict[str, Server]) -> int:
    for server in servers.values():
        load(server.port, WARM_UP)
    before = {name: server.resident() for name, server in servers.items()}
    costs: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, server in servers.items():
            costs[name].append(_cost_us(server))
    kept = {name: (server.resident() - before[name]) / (ROUNDS * REQUESTS) for name, server in servers.items()}
    missing = {name: WARM_UP + ROUNDS * REQUESTS - server.recorded() for name, server in servers.items()}
    ours = costs[OURS]
    ratios = {
        name: statistics.median(theirs / mine for theirs, mine in zip(costs[name], ours, strict=True))
        for name in servers
    }
    low, *_, high = statistics.quantiles(ours, n=10, method="inclusive")
    spread = (high - low) / statistics.median(ours)
    print(f"{CONNECTIONS} connections, {ROUNDS} rounds of {REQUESTS} requests; spread of {OURS}: {spread:.0%}")
    for name in servers:
        rate = 1e6 / statistics.median(costs[name])
        print(f"  {ratios[name]:6.2f} x its CPU  {name}: {rate:.0f} requests a CPU second,", end=" ")
        print(f"{kept[name] / 1000:.2f} KB of memory a request, {missing[name]} missing")
    nearest = min(ratio for name, ratio in ratios.items() if name in PEERS)
    is_void = spread > MOST_SPREAD
    state = "VOID, the machine was too busy" if is_void else "ok" if nearest >= FLOOR else "MISSED"
    print(f"the nearest needs {nearest:.2f} x   floor {FLOOR}, aim {AIM}   {state}")
    return int(any(missing.values()) or (not is_void and nearest < FLOOR))


def _cost_us(server: Server) -> float:
    before = server.cpu_s()
    load(server.port, REQUESTS)
    return (server.cpu_s() - before) / REQUESTS * 1e6


def _named() -> dict[str, Path]:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, peer in PEERS.items():
        default = os.environ.get(_variable(name))
        options.add_argument(f"--{name}", type=Path, metavar=peer.named_by, default=default, help=peer.from_where)
    chosen = vars(options.parse_args())
    # Not resolved: an environment's Python is a link, and knows its packages by where the link lies.
    return {name: path.absolute() for name in PEERS if (path := chosen[name.replace("-", "_")])}


def _variable(name: str) -> str:
    return f"PEER_{name.replace('-', '_').upper()}"


@contextmanager
def _running(command: Sequence[str], folder: Path, port: int) -> Generator[int]:
    """Run a server in this folder until the end of the block, which begins when the port is open; yield its pid."""
    log = folder / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 -- ours, and what the caller names
            [*on_core(0), *command], cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as process,
    ):
        try:
            deadline = time.monotonic() + MOST_START_S
            while not _is_open(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} does not listen on {port}:\n{log.read_text(errors='replace')}")
                time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()


def _tree(root: int) -> list[Process]:
    processes = {process.pid: process for process in _processes()}
    found = {root}
    while more := {process.pid for process in processes.values() if process.parent in found} - found:
        found |= more
    return [processes[pid] for pid in found]


def _processes() -> Iterable[Process]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:  # it has ended meanwhile
            continue
        # The name, in brackets, may hold anything; behind it the parent is field 1, and the times of the process and of
        # its ended children are fields 11 to 14.
        fields = text.rpartition(")")[2].split()
        ticks = sum(int(field) for field in fields[11:15])
        yield Process(int(path.parent.name), int(fields[1]), ticks / os.sysconf("SC_CLK_TCK"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ask(port: int, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


if __name__ == "__main__":
    sys.exit(main())
