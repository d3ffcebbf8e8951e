"""Probes that are no help are told as such: the endpoint is not blamed, nothing hangs, and no thread is left."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any, cast

import pytest

from fork_server import PATIENCE_S
from hasty_loop import HastyLoop, run_hastily
from postback_conformance.suite.probe import CallableProbe, ProbeError, ProbeFunction, Recorded
from postback_sender.quantities import NANOSECONDS_PER_SECOND


class Silent(Exception):  # noqa: N818  a partner's, who has names of his own
    """Fails again when it is asked what happened."""

    def __str__(self) -> str:
        raise RuntimeError


class Unreadable(dict[str, object]):
    """Looks like an answer, and is none."""

    def get(self, key: object, default: object = None) -> object:
        _ = default
        raise KeyError(key)


def fails_silently(_: str) -> object:
    raise Silent


def unreadable(_: str) -> object:
    return Unreadable()


def looked_up(function: ProbeFunction, limit_ns: int = 60 * NANOSECONDS_PER_SECOND) -> Recorded | None:
    async def look() -> Recorded | None:
        probe = CallableProbe(function, limit_ns=limit_ns)
        try:
            return await probe.recorded("1")
        finally:
            await probe.close()

    return asyncio.run(look())


def told(entry: Mapping[str, Any]) -> ProbeFunction:
    return lambda _: {"actions": {"1": entry}}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        pytest.param(fails_silently, "the probe failed: Silent", id="fails without a word"),
        pytest.param(unreadable, "cannot be read: KeyError: 'actions'", id="no real table"),
        pytest.param(told({"payout": "1e999999999"}), "payout: expected a decimal", id="a very large number"),
        pytest.param(told({"amount": "0." + "0" * 60 + "1"}), "amount: expected a decimal", id="a very small one"),
        pytest.param(told({"status": "\ud800"}), "status: expected PENDING", id="half a character"),
    ],
)
def test_what_a_probe_does_wrong_is_told_as_its_own(function: ProbeFunction, words: str) -> None:
    with pytest.raises(ProbeError) as raised:
        looked_up(function)
    assert words in str(raised.value)


def test_looks_share_a_thread_that_ends_with_the_probe() -> None:
    threads = list[threading.Thread]()

    def where(_: str) -> None:
        threads.append(threading.current_thread())

    async def look() -> None:
        probe = CallableProbe(where)
        for _ in range(3):
            await probe.recorded("1")
        await probe.close()

    asyncio.run(look())
    assert len(set(threads)) == 1
    threads[0].join(PATIENCE_S)
    assert not threads[0].is_alive()


def test_a_look_that_hangs_keeps_no_other_from_looking() -> None:
    gate = threading.Event()
    seen = list[str]()

    async def look() -> None:
        loop = cast("HastyLoop", asyncio.get_running_loop())

        def recorded(action_id: str) -> None:
            if action_id == "hangs":
                loop.let_pass(60)
                gate.wait(PATIENCE_S)
            seen.append(action_id)

        probe = CallableProbe(recorded, limit_ns=60 * NANOSECONDS_PER_SECOND)
        with pytest.raises(ProbeError, match="no answer within 1m"):
            await probe.recorded("hangs")
        await probe.recorded("1")
        await probe.close()

    run_hastily(look())
    assert seen == ["1"]
    gate.set()
