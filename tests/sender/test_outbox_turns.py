"""Whatever is added, claimed, released and recorded, every outbox does as a simple model of it says."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from new_outboxes import OpenNew, attempt, claim, draft, run, waiting
from postback_sender.outbox.outbox import Outbox


class Model:
    """What may be claimed: what waits unclaimed, and is the first of its key if an order is kept.

    An entry is its key, due time and number of attempts. What is held keeps what comes after it from being first, too.
    """

    def __init__(self, *, ordered: bool) -> None:
        self.ordered = ordered
        self.waiting: dict[int, tuple[str, int, int]] = {}
        self.held: dict[int, tuple[str, int, int]] = {}
        self.claimed: set[int] = set()

    def claimable(self, until_ns: int, *, resends: bool) -> list[int]:
        firsts: dict[str, int] = {}
        for one, (key, _, _) in sorted((self.waiting | self.held).items()):
            firsts.setdefault(key, one)
        found = [
            (due_ns, one)
            for one, (key, due_ns, attempts) in self.waiting.items()
            if one not in self.claimed
            and (attempts > 0) == resends
            and due_ns <= until_ns
            and (not self.ordered or not key or firsts[key] == one)
        ]
        return [one for _, one in sorted(found)]


async def add_some(outbox: Outbox, model: Model, data: st.DataObject) -> None:
    new = data.draw(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(0, 9), st.just(0)), max_size=4))
    held = data.draw(st.booleans())
    ids = await outbox.add([draft(key=key, due_ns=due_ns) for key, due_ns, _ in new], held=held)
    (model.held if held else model.waiting).update(zip(ids, new, strict=True))


async def publish_or_discard(outbox: Outbox, model: Model, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        await outbox.publish()
        model.waiting |= model.held
    else:
        await outbox.discard()
    model.held.clear()


async def claim_some(outbox: Outbox, model: Model, data: st.DataObject) -> None:
    until_ns, limit, resends = data.draw(st.integers(0, 9)), data.draw(st.integers(1, 3)), data.draw(st.booleans())
    expected = model.claimable(until_ns, resends=resends)[:limit]
    assert await claim(outbox, until_ns=until_ns, limit=limit, resends=resends) == expected
    model.claimed.update(expected)


async def settle_one(outbox: Outbox, model: Model, data: st.DataObject) -> None:
    if not model.claimed:
        return
    one = data.draw(st.sampled_from(sorted(model.claimed)))
    key, due_ns, attempts = model.waiting[one]
    had = model.claimable(9, resends=False)
    model.claimed.remove(one)
    match data.draw(st.sampled_from(["release", "end", "again", "fail"])):
        case "release":
            await outbox.release([one])
        case "end":
            del model.waiting[one]
            has_advanced = await outbox.record(one, None, outcome="delivered")
            assert has_advanced == (model.claimable(9, resends=False) != had)
        case "again":
            due_ns = data.draw(st.integers(0, 9))
            await outbox.record(one, None, due_ns=due_ns)
            model.waiting[one] = (key, due_ns, attempts)
        case _:
            await outbox.record(one, attempt(attempts + 1, "no connection"), due_ns=due_ns)
            model.waiting[one] = (key, due_ns, attempts + 1)


STEPS = (add_some, publish_or_discard, claim_some, claim_some, settle_one, settle_one)


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "not ordered"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(data=st.data())
def test_whatever_happens_each_entry_is_claimed_in_its_turn(
    open_new: OpenNew, data: st.DataObject, *, ordered: bool
) -> None:
    outbox, model = open_new(ordered=ordered), Model(ordered=ordered)

    async def play() -> None:
        for _ in range(data.draw(st.integers(0, 20))):
            await data.draw(st.sampled_from(STEPS))(outbox, model, data)
        for resends in (True, False):
            left = model.claimable(9, resends=resends)
            due_ns = min((model.waiting[one][1] for one in left), default=None)
            assert await outbox.next_due_ns(resends=resends) == due_ns
            assert await claim(outbox, resends=resends) == left
        assert (await outbox.counts())["waiting"] == len(model.waiting)
        assert await waiting(outbox) == sorted(model.waiting)

    run(play())
    outbox.close()
