"""A receiver's clock that stands still."""


class StoppedClock:
    """It is always `at_ns` by the wall, and the first moment by the monotonic clock."""

    def __init__(self, at_ns: int) -> None:
        self._at_ns = at_ns

    def now_ns(self) -> int:
        return self._at_ns

    def monotonic_ns(self) -> int:
        return 0
