"""Hypothesis strategies for endpoints that misbehave: faults, and what an event meets on its attempts, one by one."""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from postback_conformance.generating.wrong_options import invalid
from postback_receiver.faults import (
    MAX_SECONDS,
    Fault,
    accepted_then_lost,
    bad_chunk,
    close,
    down,
    dribble,
    garbage,
    never_answer,
    reset,
    slow_headers,
    wrong_content_length,
)
from postback_receiver.reply import Reply

_LONGEST_S = 0.05
_MOST_REPLIES = 4
# Each fault shows with a body of this size: it can be cut in the middle, and be shorter than promised.
_BODY = b"accepted"
_MILLISECONDS = 1000
_BROKEN_STATUSES = st.sampled_from((200, 503))
# What a sender has to send again after, and what it must not.
_STATUSES = st.sampled_from((503, 500, 429, 400, 404, 301, 204, 200))


def faults(*, longest_s: float = _LONGEST_S, hanging: bool = False) -> SearchStrategy[Fault]:
    """Faults of one answer with a body of 8 bytes or more; those that take time take at most `longest_s` seconds.

    With `hanging` some never answer, and a sender waits as long as its settings say.
    """
    if not 1 / _MILLISECONDS <= longest_s <= MAX_SECONDS:
        return invalid(f"expected longest_s from 0.001 to {MAX_SECONDS:g}, got {longest_s!r}")
    seconds = st.integers(1, int(longest_s * _MILLISECONDS)).map(lambda ms: ms / _MILLISECONDS)
    # As many pieces as the body has bytes.
    pause = st.integers(1, max(1, int(longest_s * _MILLISECONDS) // len(_BODY))).map(lambda ms: ms / _MILLISECONDS)
    places = st.sampled_from(("start", "after-headers", "mid-body"))
    # The least first: what was recorded, and whose answer did not come, is what makes duplicates.
    kinds: list[SearchStrategy[Fault]] = [
        st.builds(accepted_then_lost),
        st.builds(close, places),
        st.builds(reset, places),
        st.builds(slow_headers, seconds),
        st.builds(dribble, st.integers(1, len(_BODY) - 1), every=pause),
        st.builds(wrong_content_length, st.one_of(st.integers(1, 100), st.integers(-len(_BODY), -1))),
        st.builds(bad_chunk),
        st.builds(garbage, st.integers(1, 200)),
        st.builds(down, seconds),
    ]
    return st.one_of(*kinds, *([st.builds(never_answer)] if hanging else []))


def fault_scripts(
    *,
    max_size: int = _MOST_REPLIES,
    longest_s: float = _LONGEST_S,
    hanging: bool = False,
    recovers: bool = True,
) -> SearchStrategy[tuple[Reply, ...]]:
    """Scripts of at most `max_size` replies that each event walks through, as in `receiver.reply(*script)`.

    A reply has a status and a fault, or one of the two. With `recovers` the last is 200 without any, so that a sender
    that goes on trying gets through. `longest_s` and `hanging` as for `faults`.
    """
    if max_size < 1:
        return invalid(f"expected max_size of at least 1, got {max_size}")
    good = Reply(body=_BODY)
    broken = st.tuples(_BROKEN_STATUSES, faults(longest_s=longest_s, hanging=hanging)).map(
        lambda drawn: Reply(status=drawn[0], body=_BODY, faults=(drawn[1],))
    )
    refusing = _STATUSES.map(lambda status: Reply(status=status, body=_BODY))
    replies = st.one_of(refusing, broken)
    if recovers:
        return st.lists(replies, max_size=max_size - 1).map(lambda script: (*script, good))
    return st.lists(replies, min_size=1, max_size=max_size).map(tuple)
