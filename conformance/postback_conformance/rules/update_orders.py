"""Whether the updates of an action make a life in any order: nobody knows the one in which they were made."""

from collections.abc import Iterable, Iterator

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.held_tokens import held_names, tells_lives
from postback_conformance.judging.histories import Histories, History, Story
from postback_conformance.judging.rule import Check, StreamCheck
from postback_conformance.judging.verdict import PASS, Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.judging.wire_money import differ, point_text
from postback_conformance.rules.applying import NothingToTest
from postback_conformance.rules.of_actions import no_tokens, where_of
from postback_sender.notification import Notification

_NOT_APPROVED = (NotApplicable(why="no action was APPROVED"),)
_NOTHING: tuple[Outcome, ...] = ()
_MOST_MOVES_SHOWN = 8


def no_updates(notification: Notification) -> str:
    """Return why a notification tells of no updates, empty when it does."""
    return "" if tells_lives(notification) else f"{notification.event} does not tell of the updates of an action"


def no_walk(notification: Notification) -> str:
    """Return why its postbacks cannot be one update each, empty when they can."""
    if why := no_updates(notification):
        return why
    is_late = notification.template.values_at == "send"
    return "postbacks carry the newest values, so that an update may not be told of at all" if is_late else ""


def _no_chain(notification: Notification) -> str:
    if why := no_tokens("ActionId")(notification) or no_walk(notification):
        return why
    if notification.level == "event":
        return "the notification is at event level, so it tells of no update but the first"
    held = held_names(notification)
    has_moves = held >= {"Payout", "DeltaPayout"} or held >= {"Amount", "DeltaAmount"}
    return "" if has_moves else "the template has no figure together with its delta"


def delta_chain(notification: Notification) -> Check:
    """Return the check that asks for some order of the updates in which each begins where another ended."""
    why = _no_chain(notification)
    return NothingToTest(why) if why else _DeltaChain(notification)


def final_after_approved(notification: Notification) -> Check:
    """Return the check that asks for some order of the updates that ends where the action was approved."""
    why = no_tokens("ActionId", "Status")(notification)
    return NothingToTest(why) if why else _FinalAfterApproved(notification)


class _OfWalks(StreamCheck):
    """Base of the checks that ask, at the end, whether some order of an action's updates makes a life."""

    def __init__(self, notification: Notification) -> None:
        super().__init__(notification)
        self.memory: Histories | None = None
        self._unread = 0

    def see(self, evidence: Evidence) -> Iterable[Outcome]:
        """Wait for the end: an update that is missing now may only be late."""
        history = evidence.history
        if history is not None:
            self.memory = history.memory
            return self.told(evidence, history)
        self._unread += 1
        # What is no request at all is no update that anybody could read; it only counts as one that may be missing.
        return _NOTHING if evidence.capture.malformed is not None else (evidence.without("ActionId"),)

    def told(self, evidence: Evidence, history: History) -> Iterable[Outcome]:
        """Return what a single capture tells of its action."""
        _ = evidence, history
        return _NOTHING

    def missing(self, story: Story) -> str:
        """Return why an update of an action may be missing here, without fault of anybody; empty when none is known."""
        if not story.begins:
            return "its first capture is not of its creation, so earlier ones may be missing"
        if self._unread:
            return f"{self._unread} other captures could not be read, and one of them may be the update that is missing"
        return ""


class _DeltaChain(_OfWalks):
    def end(self) -> Iterator[Outcome]:
        for story in self.memory.stories() if self.memory else ():
            ids = _ids(story)
            if story.is_unclear:
                why = f"not all the money of action {story.action[:60]} could be read"
                yield Inconclusive(why=why, captures=ids)
            elif story.in_order or story.is_walk():
                yield PASS
            elif why := self.missing(story):
                yield Inconclusive(
                    why=f"no order of the updates of action {story.action[:60]} leads on from nothing, but {why}",
                    captures=ids,
                )
            else:
                yield Fail(
                    message=f"no order of the updates of action {story.action[:60]} leads from nothing on, each from "
                    "where another ended: one was lost, or a delta is wrong",
                    expected="a walk of moves that begins at 0.00",
                    actual=_moves(story),
                    captures=ids,
                    needs_all=True,
                )


class _FinalAfterApproved(_OfWalks):
    def __init__(self, notification: Notification) -> None:
        super().__init__(notification)
        held = held_names(notification)
        has_deltas = held >= {"Payout", "DeltaPayout"} or held >= {"Amount", "DeltaAmount"}
        self._has_walks = has_deltas and not no_walk(notification)

    def told(self, evidence: Evidence, history: History) -> Iterable[Outcome]:
        before, said = history.before, history.figures
        if not history.now.approved_id:
            return _NOT_APPROVED
        if before is None or not before.approved_id:
            return _NOTHING if self._has_walks else (PASS,)
        is_other = differ(before.approved_payout, said.payout) or differ(before.approved_amount, said.amount)
        if is_other and said.status == "APPROVED":
            return (
                Fail(
                    message=f"action {before.action[:60]} was APPROVED twice, with different money",
                    expected=point_text(before.approved_payout, before.approved_amount),
                    actual=point_text(said.payout, said.amount),
                    captures=(before.approved_id, evidence.capture.id),
                    where=where_of(evidence, "Payout" if said.payout != before.approved_payout else "Amount"),
                ),
            )
        if is_other and not self._has_walks:
            why = "after it was APPROVED, an action came with other money: late, or changed after it was final"
            return (Inconclusive(why=why, captures=(before.approved_id, evidence.capture.id)),)
        return _NOTHING if self._has_walks else (PASS,)

    def end(self) -> Iterator[Outcome]:
        for story in self.memory.stories() if self.memory and self._has_walks else ():
            if story.approved_id and self.memory:
                yield self._ending(story, self.memory)

    def _ending(self, story: Story, memory: Histories) -> Outcome:
        end = memory.approved_at(story)
        if story.is_unclear or end is None:
            return Inconclusive(
                why=f"not all the money of action {story.action[:60]} could be read", captures=_ids(story)
            )
        if (story.in_order and end == (story.at_payout, story.at_amount)) or story.is_walk(end=end):
            return PASS
        why = self.missing(story) or ("" if story.is_walk() else "its updates make no walk at all")
        if why:
            return Inconclusive(why=f"where action {story.action[:60]} ends is not known: {why}", captures=_ids(story))
        return Fail(
            message=f"action {story.action[:60]} was APPROVED, and no order of its updates ends there",
            expected=f"an end at {point_text(*end)}, since what is approved is final",
            actual=_moves(story),
            captures=(story.approved_id, story.latest_id),
            needs_all=True,
        )


def _ids(story: Story) -> tuple[str, ...]:
    return (story.first_id,) if story.first_id == story.latest_id else (story.first_id, story.latest_id)


def _moves(story: Story) -> str:
    moves = [f"{point_text(*move.start)} → {point_text(*move.end)}" for move in story.updates()]
    more = f", and {len(moves) - _MOST_MOVES_SHOWN} more" if len(moves) > _MOST_MOVES_SHOWN else ""
    return ", ".join(moves[:_MOST_MOVES_SHOWN]) + more
