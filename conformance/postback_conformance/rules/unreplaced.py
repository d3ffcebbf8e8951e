"""Tokens that arrived as they stand in the template, because nobody put a value in their place."""

import re
from collections.abc import Iterator

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.rule import Check, EachCapture
from postback_conformance.judging.verdict import Fail, Inconclusive, Outcome, Where
from postback_conformance.rules.body_findings import where_in
from postback_conformance.rules.template_faults import by_template
from postback_sender.notification import Notification

# impact.com writes every token in PascalCase, item fields as variable.field.
_NAME = r"([A-Z][A-Za-z0-9]*|[a-z]+\.[a-z]+)"
_TOKEN = re.compile(rf"\{{{_NAME}\}}".encode())
_TOKEN_IN_URL = re.compile(rf"(?:\{{|%7[Bb]){_NAME}(?:\}}|%7[Dd])".encode())


def unreplaced_token(notification: Notification) -> Check:
    """Return the check whether a token arrived unreplaced, in the target or the body."""
    names = notification.url.names | (notification.body.names if notification.body else frozenset[str]())
    pattern = _TOKEN_IN_URL if notification.body_format == "query" else _TOKEN

    def test(evidence: Evidence) -> Outcome | None:
        content, target = evidence.content, evidence.capture.target.encode("latin-1")
        body = content if isinstance(content, bytes) else b""
        doubt: Outcome | None = None
        if pattern.search(body) or _TOKEN_IN_URL.search(target):
            for outcome in each(evidence, body, target):
                if isinstance(outcome, Fail):
                    return outcome
                doubt = doubt or outcome
        return doubt or (None if isinstance(content, bytes) else content)

    def each(evidence: Evidence, body: bytes, target: bytes) -> Iterator[Outcome]:
        for found in _each_name(pattern, body):
            yield _unreplaced(evidence, found, "body", where_in(evidence, found.span()), names)
        for found in _each_name(_TOKEN_IN_URL, target):
            yield _unreplaced(evidence, found, "target", Where(target=found.span()), names)

    return EachCapture(test)


def _each_name(pattern: re.Pattern[bytes], data: bytes) -> Iterator[re.Match[bytes]]:
    """Yield where each token that stands in a text stands first."""
    seen: set[bytes] = set()
    for found in pattern.finditer(data):
        if found[1] not in seen:
            seen.add(found[1])
            yield found


def _unreplaced(evidence: Evidence, found: re.Match[bytes], place: str, where: Where, names: frozenset[str]) -> Outcome:
    token = f"{{{found[1].decode()}}}"
    if found[1].decode() not in names:
        return Inconclusive(
            why=f"{token} stands in the {place}; the template has no such token, so it may be a value",
            captures=(evidence.capture.id,),
        )
    # The partner's own link, or a name, may hold such a word: then it stands within another value.
    texts = evidence.texts
    own = texts.get(found[1].decode())
    if own != token and (own is not None or any(token in text for text in texts.values())):
        return Inconclusive(
            why=f"{token} stands in the {place}, and not in its own place: it may be part of another value",
            captures=(evidence.capture.id,),
        )
    fail = Fail(
        message=f"{token} stands in the {place} as it stands in the template",
        expected="the value of the token, or nothing",
        actual=token,
        captures=(evidence.capture.id,),
        where=where,
    )
    return (
        fail
        if _is_known(evidence.notification, found[1].decode())
        else by_template(fail, "no token that is known is called so")
    )


def _is_known(notification: Notification, name: str) -> bool:
    """Tell whether anybody could have replaced a token, or a field of an item, of this name."""
    vocabulary, variable = notification.url.vocabulary(notification.known_tokens), name.rpartition(".")[0]
    return vocabulary.knows(vocabulary.spelled(name, variable), variable)
