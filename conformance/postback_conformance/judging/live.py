"""Judging while a receiver works: it may take a share of the time, and no more. What arrives comes first.

Captures are judged in the order of their arrival, which is that of a store, so that what is told now is what
`postback check` will tell: one that still waits for its answer holds up those after it, but not for ever. Under load
captures wait to be judged. When too many wait, all are left out and counted, and so is what comes until time for a
burst has been saved up; then judging begins anew, since a judge that has missed captures knows less than it thinks.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator

import msgspec

from postback_conformance.judging.following import PATIENCE_NS
from postback_conformance.judging.judge import Judges
from postback_conformance.judging.verdict import Verdict
from postback_receiver import Capture

MOST_WAITING = 2_000
# One part of judging to eight of all else. Keeping captures until there is time costs something, too.
_SHARE = 8
# What may be saved up in quiet times, so that a burst is judged at once.
_SAVED_NS = 200_000_000


class _Waiting(msgspec.Struct, gc=False):
    capture: Capture
    since_ns: int
    is_over: bool
    """Whether its answer has left, or never will."""


class LiveJudge:
    """Judges captures as there is time for; `clock_ns` is monotonic, `make_judges` begins anew.

    `began` is told each capture as it is stored, `see` once more with its answer. One that `see` is told of alone is
    judged as if it had come then.
    """

    def __init__(self, make_judges: Callable[[], Judges], clock_ns: Callable[[], int]) -> None:
        self.left_out = 0
        """Captures that nobody had time to judge."""
        self._make_judges = make_judges
        self._judges = make_judges()
        self._clock_ns = clock_ns
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        # Of which nothing more is to be told, though their answers are still to come.
        self._done: set[str] = set()
        self._saved_ns = _SAVED_NS
        self._looked_ns = clock_ns()
        # Left out without being looked at: to keep what nobody will have time for costs a receiver more than to judge.
        self._is_resting = False

    @property
    def waiting(self) -> int:
        """How many captures are still to be judged."""
        return len(self._waiting)

    def began(self, capture: Capture) -> None:
        """Take in a capture that is to be answered."""
        if self._rests():
            self.left_out += 1
            self._done.add(capture.id)
            return
        self._waiting[capture.id] = _Waiting(capture, self._clock_ns(), is_over=False)
        self._bound()

    def see(self, capture: Capture) -> Iterator[tuple[Capture, Verdict]]:
        """Take in a capture with its answer; yield the findings of those, in order, for which there is time."""
        if capture.id in self._done:
            self._done.discard(capture.id)
        elif (waiting := self._waiting.get(capture.id)) is not None:
            waiting.capture, waiting.is_over = capture, True
        elif self._rests():
            self.left_out += 1
        else:
            self._waiting[capture.id] = _Waiting(capture, self._clock_ns(), is_over=True)
            self._bound()
        return self.catch_up() if self._waiting else iter(())

    def catch_up(self, *, to_the_end: bool = False) -> Iterator[tuple[Capture, Verdict]]:
        """Judge what waits, as long as there is time, or all of it; ask again when it is quiet."""
        now_ns = self._save_up()
        while self._waiting and (to_the_end or self._saved_ns > 0):
            first = next(iter(self._waiting.values()))
            if not first.is_over:
                if not to_the_end and now_ns - first.since_ns < PATIENCE_NS:
                    break
                self._done.add(first.capture.id)
            capture = first.capture
            del self._waiting[capture.id]
            findings = self._judges.see(capture)
            # What is told of a finding is not the judge's time.
            after_ns = self._clock_ns()
            self._saved_ns -= after_ns - now_ns
            now_ns = after_ns
            yield from ((capture, finding) for finding in findings)
        self._looked_ns = now_ns

    def _save_up(self) -> int:
        now_ns = self._clock_ns()
        self._saved_ns = min(_SAVED_NS, self._saved_ns + (now_ns - self._looked_ns) // _SHARE)
        self._looked_ns = now_ns
        return now_ns

    def _rests(self) -> bool:
        if self._is_resting:
            self._save_up()
            self._is_resting = self._saved_ns < _SAVED_NS
        return self._is_resting

    def _bound(self) -> None:
        if len(self._waiting) <= MOST_WAITING:
            return
        self.left_out += len(self._waiting)
        self._done |= {one.capture.id for one in self._waiting.values() if not one.is_over}
        self._waiting.clear()
        self._judges = self._make_judges()
        self._is_resting = True
