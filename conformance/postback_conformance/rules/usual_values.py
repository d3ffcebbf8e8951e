"""Whether all values of a capture look as nearly all values do: then no rule about forms needs to look at any."""

import re
from collections.abc import Iterable
from functools import lru_cache

from postback_conformance.evidence import Evidence
from postback_conformance.held_tokens import held_fields, held_tokens
from postback_conformance.rules.token_forms import FORMS
from postback_sender.notification import Notification
from postback_sender.tokens import Token


class UsualValues:
    """Asks once for each capture, whatever the number of rules that want to know."""

    def __init__(self, notification: Notification) -> None:
        tokens, fields = _lines(held_tokens(notification)), _lines(held_fields(notification))
        self._tokens, self._fields = tuple(tokens), tuple(fields)
        of_items = f"(?:{''.join(fields.values())})*" if fields else ""
        self._pattern = re.compile("".join(tokens.values()) + of_items)
        self._latest: Evidence | None = None
        self._holds = False

    def hold(self, evidence: Evidence) -> bool:
        """Tell whether every value that has a form is there, and is empty or usual."""
        if evidence is not self._latest:
            self._latest, self._holds = evidence, self._test(evidence)
        return self._holds

    def _test(self, evidence: Evidence) -> bool:
        told, items = evidence.texts, evidence.item_texts if self._fields else ()
        if items is None:
            return False
        try:
            texts = [told[name] for name in self._tokens]
            if items:
                texts += [item[name] for item in items for name in self._fields]
        except KeyError:
            return False
        # One to a line. A line break inside a value would make two of it.
        together = "\n".join((*texts, ""))
        return self._pattern.fullmatch(together) is not None and together.count("\n") == len(texts)


@lru_cache(maxsize=16)
def usual_values(notification: Notification) -> UsualValues:
    """Return what all rules of one notification ask."""
    return UsualValues(notification)


def _lines(tokens: Iterable[Token]) -> dict[str, str]:
    """Return the pattern of the line of each token that has a form: it is empty, or fits every form there is."""
    lines: dict[str, str] = {}
    for token in tokens:
        usual = [form.usual for form_of in FORMS if (form := form_of(token)) is not None]
        if usual:
            lines[token.name] = "(?:" + "".join(rf"(?=(?:{one})?\n)" for one in usual) + r"[^\n]*+\n)"
    return lines
