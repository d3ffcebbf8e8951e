"""The gauge shows how late the event loop ran within about the last second."""

from postback_receiver.lateness import WINDOW_NS, LatenessGauge


def test_a_loop_that_was_never_late_shows_nothing() -> None:
    gauge = LatenessGauge()
    assert gauge.worst_ns(0) == 0
    gauge.expect(100)
    gauge.woke(100)
    assert gauge.worst_ns(100) == 0


def test_waking_early_is_not_negative_lateness() -> None:
    gauge = LatenessGauge()
    gauge.expect(100)
    gauge.woke(90)
    assert gauge.worst_ns(90) == 0


def test_the_worst_recent_wake_up_counts() -> None:
    gauge = LatenessGauge()
    for due, woke, worst in [(100, 120, 20), (200, 270, 70), (300, 310, 70)]:
        gauge.expect(due)
        gauge.woke(woke)
        assert gauge.worst_ns(woke) == worst


def test_an_old_stall_is_forgotten() -> None:
    gauge = LatenessGauge()
    for due, woke in [(100, 170), (200 + WINDOW_NS, 205 + WINDOW_NS)]:
        gauge.expect(due)
        gauge.woke(woke)
    assert gauge.worst_ns(205 + WINDOW_NS) == 5


def test_a_wake_up_that_is_overdue_counts_before_it_happened() -> None:
    gauge = LatenessGauge()
    gauge.expect(100)
    assert gauge.worst_ns(350) == 250
