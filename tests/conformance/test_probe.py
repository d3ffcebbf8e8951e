"""Probes that are no help are told as such: the endpoint is not blamed, nothing hangs, and no thread is left."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from postback_conformance.suite.probe import CallableProbe, ProbeError, ProbeFunction, Recorded


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


def looked_up(function: ProbeFunction, limit_ns: int = 5_000_000_000) -> Recorded | None:
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
    threads[0].join(5)
    assert not threads[0].is_alive()


def test_a_look_that_hangs_keeps_no_other_from_looking() -> None:
    gate = threading.Event()
    seen = list[str]()

    def recorded(action_id: str) -> None:
        if action_id == "hangs":
            gate.wait(10)
        seen.append(action_id)

    async def look() -> None:
        probe = CallableProbe(recorded, limit_ns=50_000_000)
        with pytest.raises(ProbeError, match="no answer within 50ms"):
            await probe.recorded("hangs")
        await CallableProbe(recorded).recorded("1")
        await probe.close()

    asyncio.run(look())
    gate.set()
    assert seen == ["1"]
