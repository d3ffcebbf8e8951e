"""Hands things over from many who make them to one who takes them, and lets the makers wait when that one is slow."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """A queue with room for `room` things, and an end."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._things: deque[T] = deque()
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._has_ended = False

    async def put(self, thing: T) -> None:
        """Hand something over, once there is room."""
        while len(self._things) >= self._room:
            self._taken.clear()
            await self._taken.wait()
        self._things.append(thing)
        self._changed.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._has_ended = True
        self._changed.set()

    async def take_until_end(self) -> AsyncGenerator[T]:
        """Yield everything in the order in which it came."""
        while True:
            while self._things:
                yield self._things.popleft()
                self._taken.set()
            if self._has_ended:
                return
            self._changed.clear()
            await self._changed.wait()
