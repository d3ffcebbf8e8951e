"""How long to wait for the books of an endpoint that answers first, and books soon after, as queues do."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import accumulate
from typing import Final, TypeVar

T = TypeVar("T")

_PAUSES_S: Final = (0.02, 0.04, 0.08, 0.16, 0.3, 0.4)
"""A second in sum, as docs/harness.md says."""


class Patience:
    """Looks again, until it has once been in vain: whoever books late does so each time.

    `pauses_s` are the pauses between looks; without any, nobody is waited for.
    """

    def __init__(self, pauses_s: tuple[float, ...] = _PAUSES_S) -> None:
        self._pauses_s = pauses_s
        self._late_by_s: float | None = None
        self._is_spent = False

    async def look(self, look: Callable[[], Awaitable[T]], wanted: Callable[[T], bool] | None) -> T:
        """Return what is seen once it is as wanted, or when waiting longer makes no sense.

        Without `wanted` nothing can be waited for but the time that this endpoint is known to take.
        """
        if wanted is None:
            await asyncio.sleep(self._late_by_s or 0)
            return await look()
        seen = await look()
        if self._is_spent or wanted(seen):
            return seen
        for pause_s, waited_s in zip(self._pauses_s, accumulate(self._pauses_s), strict=True):
            await asyncio.sleep(pause_s)
            seen = await look()
            if wanted(seen):
                self._late_by_s = max(self._late_by_s or 0, waited_s)
                return seen
        # An endpoint that is known to be late is waited for each time.
        self._is_spent = self._late_by_s is None
        return seen
