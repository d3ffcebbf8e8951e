"""Refuses wrong options of a strategy when a value is drawn, as Hypothesis' own do, and not where they are written."""

from typing import Never

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy


def invalid(message: str) -> SearchStrategy[Never]:
    """Return a strategy that raises `InvalidArgument` with this message for every value."""
    return st.just(message).map(_refuse)


def _refuse(message: str) -> Never:
    raise InvalidArgument(message)
