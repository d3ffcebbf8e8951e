"""The rules laid out for reading: everything about one, and a page for each family, with what the examples show."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

import msgspec

from postback_conformance.judging.judge import judge
from postback_conformance.judging.rule import PROFILES, Example, Profile, Rule, Source
from postback_conformance.judging.verdict import Verdict
from postback_conformance.printable import printable
from postback_receiver import Capture
from postback_sender.notification import NotificationSource, parse_notification
from postback_sender.quantities import NANOSECONDS_PER_SECOND

FAMILIES = {
    "http": "Method and target: a request goes where, and how, the notification says.",
    "header": "Header fields: the ones the partner asked for, and those that HTTP needs.",
    "body": "Bodies: well formed in their format, and made by their template.",
    "value": "Values: what stands in the places of the tokens, and how it was written there.",
    "field": "Fields: each value has the form that its token has in every sample, whatever key the partner gave it.",
    "action": "Actions: the values of one postback agree with each other.",
    "lifecycle": "Life cycles: what arrived about an action, taken together, is a life it can have.",
    "delivery": "Delivery: when postbacks arrive, how many at a time, and what comes again.",
    "capture": "Captures: what was judged is all that arrived.",
}
"""The families of rules, by the first word of their ids, in the order in which they are told."""

_LONGEST_BODY = 600
_MOST_REQUESTS = 3
_MARKDOWN_MARKS = re.compile(r"([\\`*_\[\]<>&|])")
_FENCE = re.compile("`{3,}")


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A request of an example: how long after the one before it came, in seconds, its text, and the answer's status."""

    after_s: float
    request: str
    status: int | None


class ToldExample(msgspec.Struct, frozen=True, kw_only=True):
    """An example: its settings, its requests (`left_out` of them not shown), and the verdict."""

    settings: str
    exchanges: tuple[Exchange, ...]
    left_out: int
    verdict: Verdict


def family_of(rule: Rule) -> str:
    """Return the family of a rule: the first word of its id."""
    return rule.id.partition(".")[0]


def levels_of(rule: Rule) -> dict[Profile, str]:
    """Return how much a rule asks by each profile."""
    return {profile: rule.level_in(profile) for profile in PROFILES}


def told(rule: Rule, example: Example) -> ToldExample:
    """Return an example with the verdict that the rule gives on it."""
    notification = parse_notification(NotificationSource(name="example.toml", text=example.settings), None)
    (verdict, *_more) = judge(example.captures, notification, [rule]).verdicts
    captures = example.captures
    left_out = max(0, len(captures) - _MOST_REQUESTS)
    shown = captures if not left_out else (*captures[: _MOST_REQUESTS - 1], captures[-1])
    return ToldExample(
        settings=example.settings.strip(),
        exchanges=tuple(_exchanges(shown)),
        left_out=left_out,
        verdict=verdict,
    )


def _exchanges(captures: Sequence[Capture]) -> Iterator[Exchange]:
    for before, capture in pairwise((None, *captures)):
        if capture is not None:
            after_ns = capture.received_at_ns - before.received_at_ns if before else 0
            yield Exchange(
                after_s=after_ns / NANOSECONDS_PER_SECOND,
                request=request_text(capture),
                status=capture.answer.status if capture.answer else None,
            )


def request_text(capture: Capture) -> str:
    """Return a request as it stands on the wire, in lines; what no line can show is spelt out."""
    if capture.malformed is not None:
        return printable(capture.body[:_LONGEST_BODY].decode("utf-8", "backslashreplace"), keep="\n")
    head = [f"{capture.method} {capture.target} HTTP/{capture.http_version}"]
    head += [f"{name}: {value}" for name, value in capture.headers]
    body = printable(capture.body[:_LONGEST_BODY].decode("utf-8", "backslashreplace"), keep="\n")
    more = len(capture.body) - _LONGEST_BODY
    if more > 0:
        body += f"… ({more} bytes more)"
    if capture.truncated:
        body += "… (cut off here)"
    return "\n".join([*map(printable, head), *(["", body] if body else [])])


def explanation(rule: Rule) -> str:
    """Return everything about a rule, for a terminal."""
    levels = ", ".join(f"{level} ({profile})" for profile, level in levels_of(rule).items())
    if len({*levels_of(rule).values()}) == 1:
        levels = f"{rule.level} by every profile"
    lines = [rule.id, f"  {rule.requirement}", ""]
    lines += [f"  levels   {levels}", f"  about    the {rule.subject}", f"  needs    {rule.needs}"]
    lines += [f"  fix      {rule.fix}"]
    lines += [f"  source   {_source(source)}" for source in rule.sources]
    if rule.aliases:
        lines.append(f"  before   {', '.join(rule.aliases)}")
    for title, example in (("passes", rule.passing), ("fails", rule.failing)):
        story = told(rule, example)
        lines += ["", f"  an example that {title}", ""]
        lines += [f"    {line}".rstrip() for line in _told_lines(story)]
    return "\n".join(lines)


def _told_lines(story: ToldExample) -> Iterator[str]:
    yield from story.settings.split("\n")
    for number, exchange in enumerate(story.exchanges, start=1):
        yield ""
        if story.left_out and number == len(story.exchanges):
            yield f"-- {story.left_out} more --"
        yield f"-- {_when(exchange, number)} --"
        yield from exchange.request.split("\n")
    yield ""
    verdict = story.verdict
    yield f"=> {verdict.outcome}: {printable(verdict.message)}"
    if verdict.outcome == "fail":
        yield f"   expected {printable(verdict.expected)}"
        yield f"   actual   {printable(verdict.actual)}"


def _when(exchange: Exchange, number: int) -> str:
    answer = f"answered {exchange.status}" if exchange.status is not None else "never answered"
    return f"request, {answer}" if number == 1 else f"{exchange.after_s:g} s later, {answer}"


def _source(source: Source) -> str:
    details = ", ".join(part for part in (source.section, source.date, source.certainty) if part)
    return f"{source.document} ({details})"


def index_page(rules: Iterable[Rule]) -> str:
    """Return the page that leads to the families, as Markdown."""
    by_family = {family: [*group] for family, group in groupby(sorted(rules, key=family_of), family_of)}
    parts = [_INTRODUCTION]
    for family, meaning in FAMILIES.items():
        if family in by_family:
            parts += [f"## [{family}]({family}.md)", meaning, _table(by_family[family])]
    return "\n\n".join(parts) + "\n"


def family_page(family: str, rules: Iterable[Rule]) -> str:
    """Return the page of a family: each of its rules in full, as Markdown."""
    chosen = [rule for rule in rules if family_of(rule) == family]
    how = (
        f"`postback rules list --family {family} --format markdown` prints this page, `postback rules explain ID` a "
        "single rule. [All families](README.md)."
    )
    parts = [f"# Rules: {family}", FAMILIES[family], how]
    for rule in chosen:
        parts += _rule_parts(rule)
    return "\n\n".join(parts) + "\n"


def _rule_parts(rule: Rule) -> Iterator[str]:
    yield f"## {rule.id}"
    yield _text(rule.requirement)
    heads = [*(profile for profile in PROFILES), "about"]
    cells = [*levels_of(rule).values(), f"the {rule.subject}"]
    yield "\n".join((_row(heads), "|" + "---|" * len(heads), _row(cells)))
    lines = [f"- **Needs** {_text(rule.needs)}.", f"- **Fix** {_text(rule.fix)}"]
    lines += [f"- **Source** {_text(_source(source))}" for source in rule.sources]
    if rule.aliases:
        lines.append(f"- **Called before** {', '.join(f'`{alias}`' for alias in rule.aliases)}")
    yield "\n".join(lines)
    passing, failing = told(rule, rule.passing), told(rule, rule.failing)
    is_shared = passing.settings == failing.settings
    yield "Settings of the examples:" if is_shared else "Settings of the example that passes:"
    yield _block(passing.settings, "toml")
    yield f"Passes: {_text(passing.verdict.message)}."
    yield _block(_requests(passing), "http")
    if not is_shared:
        yield "Settings of the example that fails:"
        yield _block(failing.settings, "toml")
    verdict = failing.verdict
    yield f"Fails: {_text(verdict.message)}. Expected: {_text(verdict.expected)}. Actual: {_text(verdict.actual)}."
    yield _block(_requests(failing), "http")


def _requests(story: ToldExample) -> str:
    parts: list[str] = []
    for number, exchange in enumerate(story.exchanges, start=1):
        if story.left_out and number == len(story.exchanges):
            parts.append(f"# {story.left_out} more")
        parts.append(f"# {_when(exchange, number)}\n{exchange.request}")
    return "\n\n".join(parts)


def _table(rules: Iterable[Rule]) -> str:
    heads = ["rule", *PROFILES, "requirement"]
    lines = [_row(heads), "|" + "---|" * len(heads)]
    for rule in rules:
        link = f"[{rule.id}]({family_of(rule)}.md#{_anchor(rule.id)})"
        lines.append(_row([link, *levels_of(rule).values(), _text(rule.requirement)]))
    return "\n".join(lines)


def _anchor(rule_id: str) -> str:
    """Return what the heading of a rule is called in a link: the dots are left out."""
    return rule_id.replace(".", "")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(words: str) -> str:
    return _MARKDOWN_MARKS.sub(r"\\\1", printable(words))


def _block(text: str, language: str) -> str:
    longest = max((len(found[0]) for found in _FENCE.finditer(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


_INTRODUCTION = """\
# Rules

What captured traffic is judged by. `postback rules list` prints the list, `--family`, `--profile` and `--subject` a
part of it; `postback rules explain ID` prints everything about one rule, with an example that passes and one that
fails. `postback check --only GLOB --skip GLOB` chooses among them. `make docs` makes these pages from the rules.

- A verdict is *pass*, *fail*, *inconclusive* (the captures do not tell), *not applicable* (there was nothing to test)
  or *error* (a fault of the kit, never of the traffic).
- A level is MUST, SHOULD or INFO. A profile says how much is asked: `documented` is what the public record says,
  `strict` all that a careful sender would do, `lenient` only what breaks things. Where sources contradict each other,
  the documented level is INFO, and the rule names both.
- A source is *official* (the publisher's own text), *inferred* (concluded from it) or *third-party* (somebody else's
  text, code or traffic). Its date is its own where it has one, else the day on which it was read.
- Ids never change. A rule that is renamed keeps its old id as an alias, in `explain` and in selections."""
