"""How claims about captures combine, and how they tell what differs. The claims themselves are in `matcher`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn, TypeAlias

from postback_receiver.capture import Capture
from postback_receiver.fields import Reading
from postback_receiver.summary import excerpt, first_difference, hidden, one_line, without_secrets

MAX_DIFFERENCES: Final = 20
"""Told of one capture: more of them, and it is another request altogether."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a capture is not as expected; the texts are for people: bounded, and without secrets.

    `weight` says how far apart the two are: 0 would be equal. It only serves to find the capture that comes nearest.
    """

    field: str
    expected: str
    actual: str
    weight: float = 1.0

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, got {self.actual}"


class Matcher(ABC):
    """A claim about captures. `&` is both, `|` is at least one of them, `~` is not."""

    __slots__ = ()

    @abstractmethod
    def differences(self, capture: Capture) -> tuple[Difference, ...]:
        """What keeps a capture from matching: empty when it matches. Of alternatives, the nearest one is told."""

    @abstractmethod
    def matches(self, capture: Capture) -> bool:
        """Whether a capture is as claimed: what `differences` is empty for, without the work of telling them."""

    @abstractmethod
    def __invert__(self) -> "Matcher": ...

    def __and__(self, other: "Match") -> "Matcher":
        return AllOf((*_parts(AllOf, self), *_parts(AllOf, to_matcher(other))))

    def __rand__(self, other: "Match") -> "Matcher":
        return to_matcher(other) & self

    def __or__(self, other: "Match") -> "Matcher":
        return AnyOf((*_parts(AnyOf, self), *_parts(AnyOf, to_matcher(other))))

    def __ror__(self, other: "Match") -> "Matcher":
        return to_matcher(other) | self

    def __bool__(self) -> NoReturn:
        # `a and b` would silently be `b`.
        raise TypeError("a matcher is neither true nor false: combine matchers with &, | and ~, not with and, or, not")


Match: TypeAlias = Matcher | Callable[[Capture], bool]
"""What the receiver's methods take: a matcher, or a function that says whether a capture is meant."""


@dataclass(frozen=True, slots=True, eq=False)
class AllOf(Matcher):
    """Every part holds; without parts, every request matches."""

    parts: tuple[Matcher, ...]

    def differences(self, capture: Capture) -> tuple[Difference, ...]:
        return tuple(difference for part in self.parts for difference in part.differences(capture))

    def matches(self, capture: Capture) -> bool:
        return all(part.matches(capture) for part in self.parts)

    def __invert__(self) -> Matcher:
        return AnyOf(tuple(~part for part in self.parts))

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts)) or "anything"


@dataclass(frozen=True, slots=True, eq=False)
class AnyOf(Matcher):
    """At least one part holds; without parts, none does."""

    parts: tuple[Matcher, ...]

    def differences(self, capture: Capture) -> tuple[Difference, ...]:
        tried: list[tuple[Difference, ...]] = []
        for part in self.parts:
            found = part.differences(capture)
            if not found:
                return ()
            tried.append(found)
        if not tried:
            return (Difference("request", "none at all", "one"),)
        nearest = min(tried, key=distance)
        alone = [found[0] for found in tried if len(found) == 1]
        if len(alone) == len(tried) and len({each.field for each in alone}) == 1:
            # Alternatives for one field read best as one line.
            expected = " or ".join(dict.fromkeys(each.expected for each in alone))
            return (replace(nearest[0], expected=expected),)
        return nearest

    def matches(self, capture: Capture) -> bool:
        return any(part.matches(capture) for part in self.parts)

    def __invert__(self) -> Matcher:
        return AllOf(tuple(~part for part in self.parts))

    def __str__(self) -> str:
        return f"({' or '.join(map(str, self.parts)) or 'nothing'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """What is asked of a value: `wanted` is the text it should equal, where there is one; `text` says it for people."""

    __test__ = False  # not one of pytest's

    holds: Callable[[object], bool]
    text: str
    wanted: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field(Matcher):
    """A claim about one field of a request; made by the functions of this module."""

    name: str
    read: Callable[[Capture], Reading]
    test: Test
    weight: float = 1.0
    to_text: Callable[[object], str] = str
    quote: str = "'"
    is_secret: bool = False
    is_negated: bool = False

    def differences(self, capture: Capture) -> tuple[Difference, ...]:
        reading = self.read(capture)
        held = tuple(value for value in reading.values if self.test.holds(value))
        if bool(held) != self.is_negated:
            return ()
        if not reading.values:
            # Further off than any value would be.
            return (Difference(self.name, self._expected(), reading.problem or "none", self.weight * 1.5),)
        wanted = self.test.wanted
        texts = [self.to_text(value) for value in held or reading.values]
        actual = max(texts, key=lambda text: _nearness(wanted, text))
        more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
        weight = self.weight * (1 - _nearness(wanted, actual) / 2)
        return (Difference(self.name, self._expected(actual), self._shown(actual, wanted) + more, weight),)

    def matches(self, capture: Capture) -> bool:
        return any(map(self.test.holds, self.read(capture).values)) != self.is_negated

    def values(self, capture: Capture) -> tuple[object, ...]:
        """What a capture has in this field; a field can serve as the key that tells events apart."""
        return self.read(capture).values

    def __invert__(self) -> Matcher:
        return replace(self, is_negated=not self.is_negated)

    def __str__(self) -> str:
        text = f"{self.name} {self._expected_text()}"
        return f"not {text}" if self.is_negated else text

    def _expected(self, actual: str | None = None) -> str:
        text = self._expected_text(actual)
        return f"not {text}" if self.is_negated else text

    def _expected_text(self, actual: str | None = None) -> str:
        return self.test.text if self.test.wanted is None else self._shown(self.test.wanted, actual)

    def _shown(self, text: str, beside: str | None) -> str:
        if self.is_secret:
            return hidden(text)
        open_text = without_secrets(text)
        at = 0 if beside is None else first_difference(open_text, without_secrets(beside))
        return f"{self.quote}{excerpt(open_text, at=at)}{self.quote}"


def satisfies(function: Callable[[Capture], bool], label: str | None = None) -> Field:
    """What a function of the caller's says; `label` is how it is called in messages."""
    name = label or str(getattr(function, "__name__", ""))
    return Field(
        name="condition" if name in {"", "<lambda>"} else name,
        read=lambda capture: Reading((bool(function(capture)),)),
        test=Test(holds=lambda value: value is True, text="true"),
        weight=2,
        to_text=lambda value: "true" if value else "false",
        quote="",
    )


def to_matcher(match: Match | None) -> Matcher:
    """A matcher for whatever says which captures are meant; None means all of them."""
    match match:
        case None:
            return AllOf(())
        case Matcher():
            return match
        case _ if callable(match):
            return satisfies(match)
        case _:
            raise TypeError(f"a matcher such as path('/postback'), or a function of a capture, not {match!r}")


@dataclass(frozen=True, slots=True)
class NearestMiss:
    """The capture that came nearest to what was wanted, and what kept it from matching."""

    capture: Capture
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        shown = [f"  {difference}" for difference in self.differences[:MAX_DIFFERENCES]]
        if len(self.differences) > MAX_DIFFERENCES:
            shown.append(f"  … {len(self.differences) - MAX_DIFFERENCES} more differences")
        return "\n".join([one_line(self.capture), *shown])


def nearest_miss(match: Matcher, captures: Iterable[Capture]) -> NearestMiss | None:
    """The capture with the fewest and lightest differences, the latest of several; None when all match."""
    misses = (NearestMiss(capture, match.differences(capture)) for capture in captures)
    return min(reversed([miss for miss in misses if miss.differences]), key=_distance_of, default=None)


def distance(differences: Sequence[Difference]) -> float:
    """How far a capture is from matching; 0 when it matches."""
    return sum(difference.weight for difference in differences)


def _distance_of(miss: NearestMiss) -> float:
    return distance(miss.differences)


def _parts(kind: type[AllOf] | type[AnyOf], matcher: Matcher) -> tuple[Matcher, ...]:
    return matcher.parts if isinstance(matcher, kind) else (matcher,)


def _nearness(wanted: str | None, text: str) -> float:
    """How much of two texts agrees from either end, 0 to 1; cheap, since every miss is asked."""
    if wanted is None:
        return 0.0
    longer, shorter = max(len(wanted), len(text)), min(len(wanted), len(text))
    front = first_difference(wanted, text)
    back = min(first_difference(wanted[::-1], text[::-1]), shorter - front)
    return (front + back) / longer if longer else 1.0
