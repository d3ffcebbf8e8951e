"""A property that is made when it is first asked for, and an ordinary attribute from then on."""

from collections.abc import Callable
from typing import Generic, Self, TypeVar, overload

_Owner = TypeVar("_Owner")
_Made_co = TypeVar("_Made_co", covariant=True)


class once(Generic[_Owner, _Made_co]):  # noqa: N801  it is written like a function, as `property` is
    """What `functools.cached_property` does, without its lock: Python 3.11 takes one for each, of all objects together.

    For objects that one thread works with.
    """

    def __init__(self, make: Callable[[_Owner], _Made_co]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, owner: None, kind: type[_Owner]) -> Self: ...

    @overload
    def __get__(self, owner: _Owner, kind: type[_Owner]) -> _Made_co: ...

    def __get__(self, owner: _Owner | None, kind: type[_Owner]) -> Self | _Made_co:
        """Make it and keep it on the object, where it is found first the next time."""
        if owner is None:
            return self
        made = owner.__dict__[self._name] = self._make(owner)
        return made
