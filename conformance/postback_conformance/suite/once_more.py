"""The requests that failures are about, as commands for a shell."""

from collections.abc import Collection, Iterator
from typing import Final

from postback_conformance.captured.curl_command import curl_command
from postback_conformance.captured.replaying import unfit
from postback_conformance.judging.judge import Judgement
from postback_conformance.redaction import redacted
from postback_conformance.suite.bench import Bench
from postback_sender.replay.request import Destination

_LONGEST_COMMAND: Final = 4000
_MOST_COMMANDS: Final = 10


def commands(
    judgement: Judgement, bench: Bench, told_already: Collection[str] = (), *, reveal: bool = False
) -> Iterator[str]:
    """Yield, for the first failures, the command that sends the request again; secrets only if they are to be shown.

    `told_already` are the cases of which there is nothing to add.
    """
    done = set(told_already)
    for verdict in judgement.verdicts:
        if verdict.outcome != "fail" or verdict.rule in done or not verdict.captures or len(done) == _MOST_COMMANDS:
            continue
        found = bench.captures(verdict.captures[-1:])
        if not found or unfit(found[0]) is not None:
            continue
        done.add(verdict.rule)
        capture = found[0] if reveal else redacted(found[0])
        command = curl_command(capture, Destination.parse(bench.home)).decode("utf-8", "replace").rstrip()
        if len(command) <= _LONGEST_COMMAND:
            yield f"\n{verdict.rule}, the request once more:\n{command}"
