"""Whether captures come in the order in which a receiver keeps them, or answers them. Files need not."""

from collections import OrderedDict

from postback_receiver import Capture
from postback_sender.quantities import NANOSECONDS_PER_SECOND

# A receiver stores what is complete in groups, and stamps are taken before: neighbours may be the other way round.
_LEEWAY_NS = NANOSECONDS_PER_SECOND
# Each worker of a receiver is a run of its own, and they write to one store.
_MAX_RUNS = 256

_Stamps = tuple[int, int]


class ArrivalOrder:
    """Knows the latest stamps of every run."""

    def __init__(self) -> None:
        self._latest: OrderedDict[tuple[str, bool], _Stamps] = OrderedDict()

    def fits(self, capture: Capture) -> bool:
        """Tell whether a capture came no earlier than those before it; if so, it is the next.

        A store holds captures in the order in which they were complete, whoever watches a receiver sees them in that of
        their answers: going back in both is what neither does.
        """
        is_monotonic = capture.monotonic_ns is not None
        key = (capture.run, is_monotonic)
        complete_ns, answered_ns = _stamps(capture)
        latest = self._latest.get(key)
        if latest is None:
            if len(self._latest) >= _MAX_RUNS:
                self._latest.popitem(last=False)
            self._latest[key] = (complete_ns, answered_ns)
            return True
        if complete_ns < latest[0] - _LEEWAY_NS and answered_ns < latest[1] - _LEEWAY_NS:
            return False
        self._latest[key] = (max(latest[0], complete_ns), max(latest[1], answered_ns))
        return True


def _stamps(capture: Capture) -> _Stamps:
    """Return when a capture was complete and when its answer had left, or else its connection had gone."""
    answer = capture.answer
    if capture.monotonic_ns is None:
        begun_ns = complete_ns = capture.received_at_ns
        answered_ns = answer.sent_at_ns if answer else None
    else:
        begun_ns = capture.monotonic_ns
        complete_ns = capture.body_done_ns if capture.body_done_ns is not None else begun_ns
        answered_ns = answer.sent_ns if answer and answer.sent_ns is not None else capture.gone_ns
    return complete_ns, complete_ns if answered_ns is None else answered_ns
