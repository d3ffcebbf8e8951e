"""The page of all that is broken on purpose, and what catches it; `python tests/support/kill_matrix.py` prints it.

With `--try` all cases are run against every broken endpoint, which the tests do in part, and what differs is told.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Final

from broken_endpoints import ENDPOINTS, BrokenEndpoint
from broken_senders import SENDERS
from partner_endpoint import conform
from postback_conformance.rules import RULES
from postback_conformance.suite.catalogue import CASES

DRAWN: Final = ("accepts.generated", "state.life-cycles")
"""Draw what they try, and so find by chance most of what the others are made for."""

_MOST_NAMED: Final = 10

_PAGE = """\
# What catches what

Who judges others has to be judged. These networks and endpoints are broken on purpose, one thing each, and for each the
rule or the case is named that was made for it. There is one for every rule and for every case. The tests let each of
them loose and see to it that what fires is what is said here, and that a correct network and a correct endpoint set off
nothing. `make docs` makes this page from the same table.

## Networks

Postbacks are rendered and sent by the real sender, or changed on their way, captured by a real receiver, and judged by
all {rules} rules.

{networks}

## Endpoints

Each is a partner's program on a socket, against which the {cases} cases are run. Two of these draw what they try,
`{drawn}`. By chance they find most of what is found here, and are named only
where nothing else is made for it.

{endpoints}
"""


def fired(endpoint: BrokenEndpoint, *cases: str) -> set[str]:
    """Return which of these cases fail; without any, of all that do not draw what they try."""
    skip = () if cases else DRAWN
    verdicts = conform(endpoint.kind(), endpoint.settings, only=cases, skip=skip, max_examples=5)
    return {one.rule for one in verdicts if one.outcome == "fail"}


def page() -> str:
    """Return the page, as Markdown."""
    return _PAGE.format(
        rules=len(RULES),
        cases=len(CASES),
        drawn="` and `".join(DRAWN),
        networks="\n".join(_table("network", ((one.wrong, one.caught_by, one.also) for one in SENDERS))),
        endpoints="\n".join(_table("endpoint", ((one.wrong, one.caught_by, one.also) for one in ENDPOINTS))),
    )


def _table(who: str, rows: Iterable[tuple[str, str, tuple[str, ...]]]) -> Iterator[str]:
    yield f"| a{'n' if who == 'endpoint' else ''} {who} that … | is caught by | which others cannot but see |"
    yield "|---|---|---|"
    for wrong, caught_by, also in rows:
        others = ", ".join(f"`{one}`" for one in also) if len(also) <= _MOST_NAMED else f"{len(also)} others"
        yield f"| {wrong} | {_linked(caught_by)} | {others} |"


def _linked(rule_or_case: str) -> str:
    family = rule_or_case.partition(".")[0]
    is_rule = any(rule.id == rule_or_case for rule in RULES)
    return f"[`{rule_or_case}`](rules/{family}.md#{rule_or_case.replace('.', '')})" if is_rule else f"`{rule_or_case}`"


def _try_all() -> Iterator[str]:
    for endpoint in ENDPOINTS:
        # Some need to be fresh for the case that is made for them.
        found = fired(endpoint) | fired(endpoint, endpoint.caught_by)
        wanted = {endpoint.caught_by, *endpoint.also}
        if found != wanted:
            yield f"{endpoint.wrong}: fires {sorted(found - wanted)}, does not fire {sorted(wanted - found)}"


if __name__ == "__main__":
    if "--try" in sys.argv:
        sys.exit("\n".join(_try_all()))
    sys.stdout.write(page())
