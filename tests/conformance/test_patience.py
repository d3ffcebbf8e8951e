"""How long a bench waits for books that come later than the answer."""

import asyncio

from postback_conformance.suite.patience import Patience


class Books:
    """What is written down at a certain look."""

    def __init__(self, written_at: int | None) -> None:
        self.written_at = written_at
        self.looks = 0

    async def look(self) -> bool:
        self.looks += 1
        return self.written_at is not None and self.looks >= self.written_at


async def looks(patience: Patience, written_at: int | None) -> int:
    books = Books(written_at)
    await patience.look(books.look, bool)
    return books.looks


def test_books_that_are_right_are_looked_at_once() -> None:
    assert asyncio.run(looks(Patience(pauses_s=(0.0, 0.0)), 1)) == 1


def test_who_books_late_once_is_waited_for_each_time() -> None:
    async def told() -> list[int]:
        patience = Patience(pauses_s=(0.0, 0.0))
        return [await looks(patience, written_at) for written_at in (2, None, 3)]

    assert asyncio.run(told()) == [2, 3, 3]


def test_who_was_waited_for_in_vain_is_not_waited_for_again() -> None:
    async def told() -> list[int]:
        patience = Patience(pauses_s=(0.0, 0.0))
        return [await looks(patience, written_at) for written_at in (None, 2)]

    assert asyncio.run(told()) == [3, 1]
