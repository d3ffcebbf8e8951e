"""Endpoints that do one thing wrong, and for each the case of the suite that is made for it."""

import re
from dataclasses import dataclass
from typing import Final

from broken_books import (
    AddsUpWhatHolds,
    AnswersBeforeSaving,
    BooksEveryArrival,
    CountsInFloats,
    CrashesOnDuplicates,
    DropsReversals,
    ForgetsDuplicatesSoon,
    HasAWorkerForEachConnection,
    IsHalfBusyAtOnce,
    KeepsTheEndOfAnId,
    KnowsDuplicatesByConnection,
    KnowsDuplicatesFromMemory,
    LetsTheLastArrivalWin,
    LooksThenBooks,
    LosesSomeAtOnce,
    NowAndThenThinks,
    OverwritesWhatOthersBooked,
    ReadsOneByOne,
    RecordsHalves,
    SkipsWhatPaysNothing,
    SwallowsItsErrors,
    TakesIdAndStatusForADuplicate,
    TakesTheActionIdForADuplicate,
    TakesTheSameFiguresForADuplicate,
)
from broken_reading import (
    AcceptsBeforeReading,
    AnswersOnceForEachConnection,
    ClosesBeforeItAnswers,
    ComparesHowTheSecretBegins,
    CrashesOnAQuote,
    CrashesOnNewFields,
    CutsLongTexts,
    DiesOfDepth,
    FetchesEntities,
    HasASmallLimit,
    HasNarrowColumns,
    IgnoresWhatItCannotRead,
    KnowsDollarsOnly,
    KnowsNoReversals,
    KnowsNoSecret,
    LooksHeadersUpByTheLetter,
    LooksOnlyWhetherThereIsASecret,
    NeedsASubId,
    ReadsMoneyAsWholeNumbers,
    ReadsOnce,
    ReplacesBadBytes,
    RunsOutOfMemory,
    TakesAllMoneyForDollars,
    TakesAnyMethod,
    TakesDatesForLocalTime,
    TakesTheLastLength,
    TrimsTexts,
    TrustsContentLength,
    UnfoldsEntities,
)
from partner_endpoint import JSON_SETTINGS, XML_SETTINGS, Partner


@dataclass(frozen=True)
class BrokenEndpoint:
    """What it is, the case made for it, and which others cannot but fail, too.

    Two cases draw what they try, and are named only where one is made for it: what else they find is chance. What goes
    wrong once only is `shown_once`, to whichever case comes first.
    """

    kind: type[Partner]
    caught_by: str
    also: tuple[str, ...] = ()
    settings: str = JSON_SETTINGS
    shown_once: bool = False

    @property
    def wrong(self) -> str:
        """What it does wrong, in words: its name."""
        first, *others = re.findall(r"[A-Z](?:[a-z]+|(?=[A-Z]|$))", self.kind.__name__)
        return " ".join((first.lower(), *(each.lower() for each in others)))


_ALL_UPDATES: Final = (
    "state.duplicate",
    "state.concurrent-duplicate",
    "state.concurrent-updates",
    "state.accepted-then-lost",
    "state.out-of-order",
    "state.reversal",
    "state.restore",
    "state.exact-money",
    "state.no-money",
)
_WHATEVER_IS_SENT: Final = (
    "accepts.all-kinds",
    "accepts.empties",
    "accepts.unicode",
    "accepts.long-text",
    "accepts.many-items",
    "accepts.unknown-extras",
    "accepts.chunked",
    "accepts.in-pieces",
    "accepts.connection-close",
    "accepts.keep-alive",
    "accepts.header-case",
    "rejects.oversize",
    "rejects.deep-nesting",
    "state.modification",
    *_ALL_UPDATES,
    "state.similar-ids",
    "latency.budget",
    "latency.burst",
    "latency.slow-neighbour",
    "recovery.cut-mid-body",
    "recovery.resend",
    "recovery.silent-clients",
    "recovery.restart",
)

ENDPOINTS: Final[tuple[BrokenEndpoint, ...]] = (
    BrokenEndpoint(ReadsMoneyAsWholeNumbers, "accepts.documented-example", also=_WHATEVER_IS_SENT),
    BrokenEndpoint(
        KnowsNoReversals,
        "accepts.all-kinds",
        also=("state.duplicate", "state.out-of-order", "state.restore", "state.reversal"),
    ),
    BrokenEndpoint(NeedsASubId, "accepts.empties"),
    BrokenEndpoint(CrashesOnAQuote, "accepts.unicode"),
    BrokenEndpoint(SwallowsItsErrors, "accepts.unicode"),
    BrokenEndpoint(TrimsTexts, "accepts.text-kept"),
    BrokenEndpoint(TakesAllMoneyForDollars, "accepts.text-kept"),
    BrokenEndpoint(TakesDatesForLocalTime, "accepts.dates-kept"),
    BrokenEndpoint(HasNarrowColumns, "accepts.long-text"),
    BrokenEndpoint(CutsLongTexts, "accepts.long-text"),
    BrokenEndpoint(HasASmallLimit, "accepts.many-items"),
    BrokenEndpoint(KnowsDollarsOnly, "accepts.generated"),
    BrokenEndpoint(CrashesOnNewFields, "accepts.unknown-extras"),
    BrokenEndpoint(TrustsContentLength, "accepts.chunked"),
    BrokenEndpoint(ReadsOnce, "accepts.in-pieces", also=("latency.slow-neighbour",)),
    BrokenEndpoint(ClosesBeforeItAnswers, "accepts.connection-close"),
    BrokenEndpoint(AnswersOnceForEachConnection, "accepts.keep-alive"),
    BrokenEndpoint(LooksHeadersUpByTheLetter, "accepts.header-case"),
    BrokenEndpoint(
        AcceptsBeforeReading,
        "rejects.malformed-body",
        also=("rejects.wrong-type", "rejects.missing-secret", "rejects.bad-utf8"),
    ),
    BrokenEndpoint(IgnoresWhatItCannotRead, "rejects.wrong-type"),
    BrokenEndpoint(TakesAnyMethod, "rejects.wrong-method"),
    BrokenEndpoint(KnowsNoSecret, "rejects.missing-secret"),
    BrokenEndpoint(LooksOnlyWhetherThereIsASecret, "rejects.missing-secret"),
    BrokenEndpoint(ComparesHowTheSecretBegins, "rejects.missing-secret"),
    BrokenEndpoint(RunsOutOfMemory, "rejects.oversize"),
    BrokenEndpoint(TakesTheLastLength, "rejects.wrong-length"),
    BrokenEndpoint(DiesOfDepth, "rejects.deep-nesting"),
    BrokenEndpoint(ReplacesBadBytes, "rejects.bad-utf8"),
    BrokenEndpoint(UnfoldsEntities, "rejects.xml-entity-bomb", settings=XML_SETTINGS),
    BrokenEndpoint(FetchesEntities, "rejects.xml-external-entity", settings=XML_SETTINGS),
    BrokenEndpoint(
        BooksEveryArrival,
        "state.duplicate",
        also=("state.concurrent-duplicate", "state.accepted-then-lost", "recovery.restart"),
    ),
    BrokenEndpoint(LooksThenBooks, "state.concurrent-duplicate"),
    BrokenEndpoint(
        KnowsDuplicatesByConnection, "state.accepted-then-lost", also=("state.concurrent-duplicate", "recovery.restart")
    ),
    BrokenEndpoint(LetsTheLastArrivalWin, "state.out-of-order", also=("state.duplicate", "recovery.restart")),
    BrokenEndpoint(DropsReversals, "state.reversal", also=("state.duplicate", "state.out-of-order", "state.restore")),
    BrokenEndpoint(TakesTheActionIdForADuplicate, "state.modification", also=(*_ALL_UPDATES, "recovery.restart")),
    BrokenEndpoint(TakesIdAndStatusForADuplicate, "state.modification", also=(*_ALL_UPDATES, "recovery.restart")),
    BrokenEndpoint(AddsUpWhatHolds, "state.modification", also=(*_ALL_UPDATES, "recovery.restart")),
    BrokenEndpoint(TakesTheSameFiguresForADuplicate, "state.restore", also=("state.modification",)),
    BrokenEndpoint(OverwritesWhatOthersBooked, "state.concurrent-updates"),
    BrokenEndpoint(CountsInFloats, "state.exact-money"),
    BrokenEndpoint(SkipsWhatPaysNothing, "state.no-money"),
    BrokenEndpoint(KeepsTheEndOfAnId, "state.similar-ids"),
    BrokenEndpoint(KnowsDuplicatesFromMemory, "recovery.restart"),
    BrokenEndpoint(ForgetsDuplicatesSoon, "state.life-cycles"),
    BrokenEndpoint(NowAndThenThinks, "latency.budget", shown_once=True),
    BrokenEndpoint(LosesSomeAtOnce, "latency.burst"),
    BrokenEndpoint(IsHalfBusyAtOnce, "latency.burst"),
    BrokenEndpoint(ReadsOneByOne, "latency.slow-neighbour"),
    BrokenEndpoint(RecordsHalves, "recovery.cut-mid-body"),
    BrokenEndpoint(CrashesOnDuplicates, "recovery.resend"),
    BrokenEndpoint(HasAWorkerForEachConnection, "recovery.silent-clients"),
    BrokenEndpoint(AnswersBeforeSaving, "recovery.restart"),
)
"""In the order of the suite: at least one for each case."""
