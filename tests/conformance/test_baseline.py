"""A baseline excuses what is known, until its day is over, and says which of its entries nobody needs any more."""

from datetime import date, timedelta

import pytest

from postback_conformance.errors import SelectionError
from postback_conformance.judging.baseline import MOST_DAYS, read_baseline, written_baseline
from postback_conformance.judging.judge import Judgement
from postback_conformance.judging.verdict import OutcomeName, Verdict, Where
from postback_conformance.rules import RULES
from postback_sender.settings_table import NotificationError

TODAY = date(2026, 11, 22)


def verdict(
    rule: str = "http.method",
    outcome: OutcomeName = "fail",
    *,
    endpoint: str | None = "/a",
    where: Where | None = None,
    count: int = 1,
    message: str = "it is so",
) -> Verdict:
    return Verdict(
        rule=rule,
        level="MUST",
        subject="sender",
        outcome=outcome,
        endpoint=endpoint,
        message=message,
        where=where or Where(),
        count=count,
    )


def entry(**keys: str) -> str:
    values = {"rule": '"http.method"', "reason": '"known"', **keys}
    return "[[excused]]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


@pytest.mark.parametrize(
    ("text", "finding", "excused"),
    [
        (entry(), verdict(), True),
        (entry(), verdict("http.target"), False),
        (entry(endpoint='"/a"'), verdict(), True),
        (entry(endpoint='"/b"'), verdict(), False),
        (entry(where='"{Payout}"'), verdict(where=Where(span=(3, 9), token="Payout")), True),
        (entry(where='"{Payout}"'), verdict(where=Where(token="Amount")), False),
        (entry(where='"/items/*/sku"'), verdict(where=Where(pointer="/items/17/sku")), True),
        (entry(where='"header X-Key"'), verdict(where=Where(header="X-Key")), True),
        (entry(where='"parameter sub"'), verdict(where=Where(parameter="sub")), True),
        (entry(expires="2026-11-22"), verdict(), True),
    ],
    ids=[
        "a rule anywhere",
        "another rule",
        "its endpoint",
        "another endpoint",
        "its token",
        "another token",
        "any item of a list",
        "its header",
        "its parameter",
        "on its last day",
    ],
)
def test_an_entry_excuses_what_it_names(text: str, finding: Verdict, *, excused: bool) -> None:
    baseline = read_baseline(text, RULES, name="b.toml")
    assert baseline.applied(finding, TODAY).baseline == ("known" if excused else "")


def test_an_entry_whose_day_is_over_excuses_nothing_and_says_so() -> None:
    baseline = read_baseline(entry(expires="2026-11-21"), RULES, name="b.toml")
    applied = baseline.applied(verdict(), TODAY)
    assert (applied.baseline, applied.message) == (
        "",
        "it is so (excused by the baseline until 2026-11-21, which is over)",
    )


@pytest.mark.parametrize("outcome", ["pass", "inconclusive", "not_applicable", "error"])
def test_only_findings_are_excused(outcome: OutcomeName) -> None:
    baseline = read_baseline(entry(), RULES, name="b.toml")
    assert baseline.applied(verdict(outcome=outcome), TODAY).baseline == ""


@pytest.mark.parametrize(
    ("text", "verdicts", "is_stale"),
    [
        (entry(), [verdict(outcome="pass")], True),
        (entry(), [verdict()], False),
        (entry(), [verdict(outcome="inconclusive")], False),
        (entry(), [verdict(outcome="not_applicable")], False),
        (entry(), [verdict(outcome="error")], False),
        (entry(), [], False),
        (entry(endpoint='"/b"'), [verdict(endpoint="/a"), verdict(outcome="pass", endpoint="/b")], True),
        (entry(endpoint='"/b"'), [verdict(endpoint="/a")], False),
        (entry(where='"{Payout}"'), [verdict(where=Where(token="Amount"))], True),
        (entry(where='"{Payout}"'), [verdict(where=Where(token="Amount")), verdict(count=9)], False),
        (entry(message='"it is so"'), [verdict(message="it is not")], True),
    ],
    ids=[
        "it passes",
        "it fails",
        "nobody could tell",
        "nothing to test",
        "the rule itself failed",
        "the rule was not selected",
        "it passes at that endpoint",
        "that endpoint was not judged",
        "it fails elsewhere",
        "some findings were only counted",
        "something else fails",
    ],
)
def test_an_entry_is_stale_when_its_finding_is_gone_for_sure(
    text: str, verdicts: list[Verdict], *, is_stale: bool
) -> None:
    stale = read_baseline(text, RULES, name="b.toml").stale(verdicts)
    assert [(one.rule, one.why) for one in stale] == ([("http.method", "it no longer fails")] if is_stale else [])


def test_an_entry_for_an_endpoint_that_is_not_there_is_stale() -> None:
    baseline = read_baseline(entry(endpoint='"/b"'), RULES, name="b.toml")
    (stale,) = baseline.stale([verdict(endpoint="/a")], {"/a"})
    assert (stale.endpoint, stale.why) == ("/b", "there is no such endpoint here")
    assert not baseline.stale([verdict(endpoint="/a")], {"/a", "/b"}), "there, and nothing was judged"
    assert not baseline.stale([], {"/a"}), "the rule was not selected"


def test_a_finding_without_a_place_is_excused_by_its_words_and_nothing_else_of_its_rule_is() -> None:
    found = verdict(message="the request of action 1000.1.77 is 'x', the notification says POST")
    baseline = read_baseline(written_baseline([found], TODAY), RULES, name="b.toml")
    again = verdict(message="the request of action 1000.1.78 is 'y z', the notification says POST")
    other = verdict(message="the request has no action, the notification says POST")
    assert [bool(baseline.applied(one, TODAY).baseline) for one in (found, again, other)] == [True, True, False]


def test_of_findings_that_were_only_counted_as_many_are_excused_as_were_known() -> None:
    """Nobody knows what they are, so one more of them may be anything."""
    counted = "5 more findings of this rule, counted and not kept one by one"
    known = written_baseline([verdict(count=5, message=counted)], TODAY)
    baseline = read_baseline(known, RULES, name="b.toml")

    def left(count: int) -> list[tuple[int, bool]]:
        found = verdict(count=count, message=counted.replace("5", str(count)))
        judged = baseline.judgement(Judgement(verdicts=(found,), captures=9, left_out=0), TODAY)
        return [(one.count, bool(one.baseline)) for one in judged.verdicts]

    assert [left(3), left(5), left(12)] == [[(3, True)], [(5, True)], [(5, True), (7, False)]]
    more = verdict(count=12, message=counted.replace("5", "12"))
    (renewed,) = read_baseline(written_baseline([more], TODAY, baseline), RULES, name="b.toml").entries
    assert renewed.count == 12, "what is written anew excuses all there is"


def test_a_renewed_entry_keeps_its_reason_and_says_so() -> None:
    known = read_baseline(entry(reason='"we told them"', expires="2026-01-01"), RULES, name="b.toml")
    (gone,) = known.renewals([verdict(), verdict(endpoint="/b")], TODAY)
    assert gone.expires == date(2026, 1, 1)
    assert not known.renewals([verdict("http.target")], TODAY)
    for day in (TODAY, TODAY + timedelta(days=MOST_DAYS + 1)):
        known = read_baseline(written_baseline([verdict()], day, known), RULES, name="b.toml")
    (renewed,) = known.entries
    assert renewed.reason == f"we told them (its day was {TODAY + timedelta(days=MOST_DAYS)}; renewed on {day})"
    assert renewed.expires == day + timedelta(days=MOST_DAYS)


def test_what_is_written_excuses_all_of_it_for_a_while() -> None:
    found = (
        verdict(),
        verdict(endpoint=None),
        verdict("http.target", where=Where(parameter='a"b\\ü\n')),
        verdict("http.target", where=Where(parameter='a"b\\ü\n', span=(1, 2))),
        verdict("http.target", outcome="pass"),
    )
    text = written_baseline(found, TODAY)
    baseline = read_baseline(text, RULES, name="b.toml")

    assert len(baseline.entries) == 3
    judged = Judgement(verdicts=found, captures=9, left_out=0)
    for day, excused in ((TODAY + timedelta(days=MOST_DAYS), 4), (TODAY + timedelta(days=MOST_DAYS + 1), 0)):
        assert sum(bool(one.baseline) for one in baseline.judgement(judged, day).verdicts) == excused
    assert not baseline.stale([one for one in found if one.outcome == "fail"])


def test_a_new_baseline_keeps_the_reasons_of_the_old_one() -> None:
    known = read_baseline(entry(reason='"we told them"', expires="2027-01-01"), RULES, name="b.toml")
    text = written_baseline([verdict(), verdict("http.target")], TODAY, known)
    kept, added = read_baseline(text, RULES, name="b.toml").entries
    assert (kept.reason, kept.expires) == ("we told them", date(2027, 1, 1))
    assert added.reason == "found on 2026-11-22: it is so"


def test_a_baseline_without_findings_is_one_that_can_be_read() -> None:
    text = written_baseline([], TODAY)
    assert read_baseline(text, RULES, name="b.toml").entries == ()
    assert text.startswith("#")
    assert "excused =" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("excused = 3", "excused: expected list, got whole number"),
        (entry(reasn='"x"'), "unknown key 'excused.reasn'; did you mean \"reason\"?"),
        ('[[excused]]\nrule = "http.method"', "reason"),
        (entry(reason='" "'), "the entry for http.method has an empty reason; say why it is excused"),
        (entry(expires='"soon"'), "expires"),
        ("[[excused]\n", "not valid TOML"),
    ],
    ids=["no list", "unknown key", "no reason", "empty reason", "no date", "no TOML"],
)
def test_what_is_no_baseline_is_an_error_that_names_the_file(text: str, message: str) -> None:
    with pytest.raises(NotificationError) as caught:
        read_baseline(text, RULES, name="b.toml")
    assert str(caught.value).startswith("b.toml")
    assert message in str(caught.value)


def test_a_rule_nobody_knows_is_an_error() -> None:
    with pytest.raises(SelectionError, match=r"no rule is called 'http\.metod'"):
        read_baseline(entry(rule='"http.metod"'), RULES, name="b.toml")
