"""How long the first page of a search takes in a store of a million captures. Limit: 100 ms for each kind of query.

    .venv/bin/python benchmarks/searching.py [--captures 1000000] [--store FILE]

Fills a new store and indexes it, which takes some minutes and about 2.5 GB; without `--store`, in a temporary folder. A
store that is there already is taken as it is. Each query is asked several times, and the median counts. Exit code 1
when one takes longer.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from postback_receiver import (
    Answer,
    Capture,
    CaptureLookupError,
    CaptureQuery,
    Retention,
    SqliteReader,
    SystemClock,
    open_store,
    random_id,
)
from postback_receiver.sqlite_rows import capture_to_row
from postback_receiver.sqlite_writer import SqliteWriter

LIMIT_MS = 100.0
_ROUNDS = 7
_GROUP = 1000
_BEGIN_NS = 1_778_447_247_000_000_000
_GAP_NS = 10_000_000
_MANY_ITEMS = 6000


def main() -> int:
    """Fill a store if need be, ask, and say what took too long."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--captures", type=int, default=1_000_000)
    options.add_argument("--store", type=Path)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.store or Path(folder) / "captures.db"
        if not path.exists():
            fill(path, chosen.captures)
        reader = open_store(path)
        count = reader.count()
        print(f"{count} captures, {path.stat().st_size / count:.0f} bytes each, index included")
        missed = [name for name, query in queries(count).items() if not ask(name, partial(found_by, reader, query))]
        missed += [name for name, prefix in ids(reader).items() if not ask(name, partial(found_with, reader, prefix))]
    return 1 if missed else 0


def fill(path: Path, count: int) -> None:
    """Put captures into a new store, and index them."""
    writer = SqliteWriter(path, durability="process", retention=Retention(), busy_timeout_s=5.0, clock=SystemClock())
    chance = random.Random(1)  # noqa: S311 -- no secret
    begun = time.perf_counter()
    for start in range(0, count, _GROUP):
        rows = [capture_to_row(capture(number, chance)) for number in range(start, min(start + _GROUP, count))]
        failures = [failure for failure in writer.commit(rows, []) if failure]
        if failures:
            raise failures[0]
    filled = time.perf_counter()
    while writer.tidy_up() is not None:
        pass
    indexed = time.perf_counter()
    writer.close()
    print(f"filled in {filled - begun:.0f} s, indexed in {indexed - filled:.0f} s")


def capture(number: int, chance: random.Random) -> Capture:
    """A postback as impact.com sends it; every thousandth is refused and very long, one is broken off."""
    body = {
        "EventTypeName": "ACTION_LIFECYCLE",
        "ActionId": f"1000.{chance.randrange(10_000)}.{number}",
        "Status": chance.choice(["PENDING", "APPROVED", "REVERSED"]),
        "Amount": f"{chance.randrange(1_000_000) / 100:.2f}",
        "Currency": "USD",
        "EventDate": f"2026-05-11T00:{number % 60:02}:27+03:00",
        "ClickId": f"{chance.getrandbits(64):016x}",
        "Items": [
            {"sku": f"APP-{chance.randrange(10_000):04}", "amt": f"{chance.randrange(100_000) / 100:.2f}", "qty": "1"}
            for _ in range(3)
        ],
        "Text1": "Rückerstattung" if number == 7 else "",
    }
    if number % 1000 == 0:
        body["Long"] = [{"sku": f"LONG-{chance.randrange(10_000)}", "amt": f"{each}.00"} for each in range(_MANY_ITEMS)]
    return Capture(
        id=random_id(),
        endpoint=None if number == 8 else "/postback",
        received_at_ns=_BEGIN_NS + number * _GAP_NS,
        connection="c1",
        connection_request=number + 1,
        remote="127.0.0.1:5000",
        http_version="1.1",
        method="GET" if number == 9 else "POST",
        target=f"/{'elsewhere' if number == 10 else 'postback'}/{chance.randrange(100)}?click={number}",
        headers=(
            ("Host", "127.0.0.1:8080"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("X-Request-Id", f"{chance.getrandbits(64):016x}"),
            *((("X-Once", "only here"),) if number == 11 else ()),
        ),
        body=json.dumps(body).encode(),
        truncated=number == 12,
        fault="reset" if number == 13 else None,
        malformed="no method" if number == 14 else None,
        answer=Answer(status=503 if number % 1000 == 0 else 200),
    )


def queries(count: int) -> Mapping[str, CaptureQuery]:
    """One or more queries of each kind: what all captures have, what some have, and what one of the oldest has."""
    hour_ns = 3600 * 1_000_000_000
    return {
        "everything": CaptureQuery(),
        "text in a third of them": CaptureQuery(text='"Status": "REVERSED"'),
        "text in one": CaptureQuery(text="rückerstattung"),
        "text in none": CaptureQuery(text="nowhere to be found"),
        "a letter": CaptureQuery(text="r"),
        "value of one": CaptureQuery(values=(str(count // 3),)),
        "value of some": CaptureQuery(values=("719.10",)),
        "header, by name": CaptureQuery(headers=(("X-Once", None),)),
        "header, with value": CaptureQuery(headers=(("content-type", "application/json; charset=utf-8"),)),
        "path prefix of all": CaptureQuery(path_prefix="/postback"),
        "path prefix of some": CaptureQuery(path_prefix="/postback/42"),
        "path prefix of one": CaptureQuery(path_prefix="/elsewhere"),
        "endpoint": CaptureQuery(endpoint="/postback"),
        "method of one": CaptureQuery(method="GET"),
        "the first second": CaptureQuery(until_ns=_BEGIN_NS + 1_000_000_000),
        "the second hour, with text": CaptureQuery(
            since_ns=_BEGIN_NS + hour_ns, until_ns=_BEGIN_NS + 2 * hour_ns, text="reversed"
        ),
        "status of some": CaptureQuery(status=503),
        "status of none": CaptureQuery(status=404),
        "fault": CaptureQuery(fault=True),
        "malformed": CaptureQuery(malformed=True),
        "truncated": CaptureQuery(truncated=True),
        "unmatched": CaptureQuery(unmatched=True),
        "long ones": CaptureQuery(text="long-77"),
        "several conditions": CaptureQuery(status=503, text="reversed", path_prefix="/postback/42", method="POST"),
    }


def ids(reader: SqliteReader) -> Mapping[str, str]:
    """Beginnings of ids: of a capture that is there, of none, and of very many."""
    [oldest] = reader.search(CaptureQuery(until_ns=_BEGIN_NS + 1)).captures
    return {"id of the oldest": oldest.id, "its beginning": oldest.id[:10], "unknown id": "nobody", "one digit": "0"}


def found_by(reader: SqliteReader, query: CaptureQuery) -> int:
    """How many captures are on the first page of a search."""
    return len(reader.search(query).captures)


def found_with(reader: SqliteReader, id_prefix: str) -> int:
    """How many captures are told to have an id that begins like this."""
    try:
        reader.find(id_prefix)
    except CaptureLookupError as error:
        return len(error.candidates)
    return 1


def ask(name: str, question: Callable[[], int]) -> bool:
    """Time a question; whether it was answered in time."""
    times: list[float] = []
    found = 0
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        found = question()
        times.append((time.perf_counter() - begun) * 1000)
    median = statistics.median(times)
    in_time = median <= LIMIT_MS
    print(f"  {median:7.1f} ms  {name} ({found} found)  {'ok' if in_time else 'MISSED'}", flush=True)
    return in_time


if __name__ == "__main__":
    sys.exit(main())
