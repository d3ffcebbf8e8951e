"""Whether all values of a capture look as nearly all values do: then no rule about values needs to look at any."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from operator import itemgetter

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.readers import Readers
from postback_conformance.rules.encodings import STRICT
from postback_conformance.rules.null_words import NULL_WORDS
from postback_conformance.rules.token_forms import FORMS
from postback_sender.notification import Notification
from postback_sender.tokens import Token

# A text in which nothing can be an escape, and that is no word for nothing; or any other, which is then captured. What
# begins as no such word does need not be compared with all of them.
_WORDS = "|".join(map(re.escape, sorted(NULL_WORDS)))
_BEGINNING, _BLAND = r"[ -$')-;=-MO-TV-\[\]-mo-tv-~]", r"[ -$'-\[\]-~]"
_FREE = rf"(?:{_BEGINNING}{_BLAND}*+\0|(?!(?i:{_WORDS})\0){_BLAND}++\0|([^\0]++)\0)"


class UsualValues:
    """Looks at all values of a capture with one pattern, once for all rules that want to know."""

    def __init__(self, notification: Notification) -> None:
        catalogue, event, readers = notification.catalogue, notification.event, Readers(notification)
        names = {name: catalogue.find(event, name) for name in sorted(readers.names)}
        fields = {name: catalogue.find(event, name, of_items=True) for name in sorted(readers.fields)}
        tokens_lines, fields_lines = _lines(names, readers.certain), _lines(fields, readers.certain_fields)
        self._texts_of, self._texts_of_item = _getter(tokens_lines), _getter(fields_lines)
        self._fields = tuple(fields_lines)
        of_items = f"(?:{''.join(fields_lines.values())})*+" if fields_lines else ""
        self._pattern = re.compile("".join(tokens_lines.values()) + of_items)
        self.latest: Evidence | None = None
        """What was looked at last; all else is about it."""
        self.have_form = False
        """Whether every value that has a form is there, and is empty or usual."""
        self.are_bland = False
        """Whether, besides, nothing in any value can be an escape or a word for nothing."""

    def look_at(self, evidence: Evidence) -> bool:
        """Look at the values of a capture; return `have_form`."""
        self.latest = evidence
        found = self._match(evidence)
        self.have_form = found is not None
        self.are_bland = found is not None and found.lastindex is None
        return self.have_form

    def _match(self, evidence: Evidence) -> re.Match[str] | None:
        told, items = evidence.texts, evidence.item_texts if self._fields else ()
        told_of_items = 0
        if items is None:
            return None
        try:
            texts = [*self._texts_of(told)]
            for item in items:
                texts += self._texts_of_item(item)
                told_of_items += len(item)
        except KeyError:
            return None
        # What is read by names may tell more than the template's places do.
        if len(told) + told_of_items != len(texts):
            return None
        # Each with a NUL after it. One inside a value would make two of it.
        texts.append("")
        together = "\0".join(texts)
        return self._pattern.fullmatch(together) if together.count("\0") == len(texts) - 1 else None


def _getter(names: Iterable[str]) -> Callable[[Mapping[str, str]], Iterable[str]]:
    """Return what takes the texts of these names; a `KeyError` when one is missing."""
    several = tuple(names)
    if len(several) > 1:
        return itemgetter(*several)
    return lambda texts: [texts[name] for name in several]


@lru_cache(maxsize=16)
def usual_values(notification: Notification) -> UsualValues:
    """Return what all rules of one notification ask."""
    return UsualValues(notification)


def _lines(tokens: Mapping[str, Token | None], certain: Iterable[str]) -> dict[str, str]:
    """Return the pattern of each value with the NUL after it: empty, or what fits every form that its token has.

    Where no form rules it out, whether it is bland is told as well.
    """
    lines: dict[str, str] = {}
    for name, token in tokens.items():
        forms = [] if token is None else [form.usual for form_of in FORMS if (form := form_of(token)) is not None]
        looks = [rf"(?:{one})\0" for one in dict.fromkeys(forms)]
        if token is None or token.type not in {*STRICT, "url"} or not forms:
            looks.append(_FREE)
        if forms or name in certain:
            *ahead, last = looks
            lines[name] = rf"(?:\0|{''.join(f'(?={look})' for look in ahead)}{last})"
    return lines
