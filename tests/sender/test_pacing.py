"""Maximum requests over a virtual clock: strict for any arrivals, and nearly as fast as allowed under backlog."""

from hypothesis import given
from hypothesis import strategies as st

from postback_sender.delivery.pacing import Pacer
from postback_sender.quantities import NANOSECONDS_PER_SECOND, Rate

rates = st.builds(Rate, count=st.integers(1, 40), window_ns=st.sampled_from([NANOSECONDS_PER_SECOND, 10**6]))


def released(pacer: Pacer, asked_ns: int, late_ns: int) -> int:
    """Let one request through that is asked for at an instant and wakes up late by some nanoseconds."""
    instant = pacer.earliest_ns(asked_ns)
    instant = max(instant + late_ns, pacer.earliest_ns(instant + late_ns))
    pacer.take(instant)
    return instant


@given(rates, st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 2 * 10**7)), max_size=120))
def test_no_window_ever_holds_more_than_the_maximum(rate: Rate, requests: list[tuple[int, int]]) -> None:
    pacer, now, instants = Pacer(rate), 0, list[int]()
    for gap, late in requests:
        now = released(pacer, now + gap % rate.window_ns, late)
        instants.append(now)

    # Closed windows: N + 1 requests never fit, not even with both ends counted.
    spans = [last - first for first, last in zip(instants, instants[rate.count :], strict=False)]
    assert all(span > rate.window_ns for span in spans)


@given(st.integers(1, 200), st.lists(st.integers(0, 5_000_000), min_size=1, max_size=10))
def test_under_backlog_at_least_98_percent_of_the_maximum_leave(count: int, lateness_ns: list[int]) -> None:
    pacer, now, requests = Pacer(Rate(count=count)), 0, 5 * count + 50
    for number in range(requests):
        # Timers wake up to five milliseconds late, and that must not add up.
        now = released(pacer, now, lateness_ns[number % len(lateness_ns)])

    assert (requests - 1) * NANOSECONDS_PER_SECOND / now >= 0.98 * count


def test_a_pause_is_not_saved_up_for_a_burst() -> None:
    pacer = Pacer(Rate(count=10))
    pacer.take(0)
    instants = [released(pacer, 60 * NANOSECONDS_PER_SECOND, 0) for _ in range(3)]

    assert instants[0] == 60 * NANOSECONDS_PER_SECOND
    assert instants[1] - instants[0] >= NANOSECONDS_PER_SECOND // 10
