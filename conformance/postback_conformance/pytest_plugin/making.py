"""Receivers of `postback_receiver_factory`, which are remembered for the report of a test that fails."""

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from postback_receiver import Receiver


class MadeReceiver(Receiver):
    """A receiver that stands in a list from when it listens; `is_over` once it does no more."""

    def __init__(self, made: list["MadeReceiver"], **options: Any) -> None:  # noqa: ANN401  what Receiver takes
        super().__init__(**options)
        self._made = made
        self.is_over = False

    def __enter__(self) -> Self:
        """Start to listen; see `Receiver`."""
        super().__enter__()
        self._made.append(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop to listen; it stays in the list until the test it ended in is reported."""
        self.is_over = True
        super().__exit__(exc_type, exc, traceback)


def factory(made: list[MadeReceiver]) -> Callable[..., Receiver]:
    """Return what makes a receiver that will stand in `made`."""
    return partial(MadeReceiver, made)
