"""Following a store shows every capture once, in its order, and waits for answers, but not for ever."""

from msgspec.structs import replace

from postback_conformance.judging.following import PATIENCE_NS, Following
from postback_conformance.rules.examples import capture
from postback_receiver import Capture, Numbered


def unanswered(at_s: float) -> Capture:
    return replace(capture(b"{}", at_s=at_s), answer=None)


class Clocks:
    """A wall clock and a monotonic one that stand still until told."""

    def __init__(self, wall_ns: int) -> None:
        self.wall = wall_ns
        self.monotonic = 0

    def following(self) -> Following:
        return Following(lambda: self.wall, lambda: self.monotonic)


def seen(following: Following, store: list[Capture], *, first: int = 1, to_the_end: bool = False) -> list[str]:
    numbered = [Numbered(number, each) for number, each in enumerate(store, first) if number > following.after]
    return [one.id for one in following.ready(numbered, to_the_end=to_the_end)]


def test_every_capture_comes_once() -> None:
    store = [capture(b"{}", at_s=at_s) for at_s in (0, 1)]
    following = Clocks(store[0].received_at_ns).following()
    assert seen(following, store) == [store[0].id, store[1].id]
    assert seen(following, store) == []
    store.append(capture(b"{}", at_s=2))
    assert seen(following, store) == [store[2].id]
    assert following.missed == 0


def test_a_capture_waits_for_its_answer_and_those_after_it_wait_for_it() -> None:
    store = [capture(b"{}"), unanswered(1), capture(b"{}", at_s=2)]
    clocks = Clocks(store[1].received_at_ns)
    following = clocks.following()
    assert seen(following, store) == [store[0].id]
    store[1] = capture(b"{}", at_s=1)
    assert seen(following, store) == [store[1].id, store[2].id]


def test_nobody_waits_for_an_answer_for_ever() -> None:
    """Neither by the wall clock, nor where the receiver's wall clock is ahead of ours."""
    store = [unanswered(0), unanswered(1), capture(b"{}", at_s=2)]
    late = Clocks(store[1].received_at_ns + PATIENCE_NS)
    assert len(seen(late.following(), store)) == 3

    behind = Clocks(store[0].received_at_ns - 10 * PATIENCE_NS)
    following = behind.following()
    assert seen(following, store) == []
    behind.monotonic = PATIENCE_NS
    assert seen(following, store) == [store[0].id]
    behind.monotonic = 2 * PATIENCE_NS
    assert seen(following, store) == [store[1].id, store[2].id]


def test_at_the_end_nothing_is_waited_for() -> None:
    store = [unanswered(0), capture(b"{}", at_s=1)]
    following = Clocks(store[0].received_at_ns).following()
    assert len(seen(following, store, to_the_end=True)) == 2


def test_what_went_before_anybody_looked_is_counted() -> None:
    store = [capture(b"{}", at_s=at_s) for at_s in (0, 1)]
    following = Clocks(store[0].received_at_ns).following()
    assert len(seen(following, store, first=5)) == 2
    assert following.missed == 4
