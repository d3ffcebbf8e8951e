"""A template that does not follow the grammar: one finding, in place of all that cannot be looked for."""

import re

from postback_conformance.lint import kinds
from postback_conformance.lint.finding import Finding, finding_at
from postback_conformance.lint.secret_spans import secret_spans, without
from postback_conformance.lint.settings_places import SettingsPlaces
from postback_sender.notification import NotificationSource
from postback_sender.template import TemplateSyntaxError
from postback_sender.template.errors import excerpt

# A URL or a form, as opposed to JSON and XML.
_QUERY = re.compile(r"[^\s\"<{]+=|https?://")


def syntax_finding(error: TemplateSyntaxError, source: NotificationSource) -> Finding:
    """Return the finding about what keeps a source from being read; its message shows the place, secrets hidden."""
    places = SettingsPlaces(source)
    text = places.template(error.name)
    lines = text.split("\n")
    begun = sum(len(line) + 1 for line in lines[: error.line - 1])
    end, place = begun + len(error.source_line), begun + error.column - 1
    secrets = secret_spans(text, is_query=_QUERY.match(text) is not None)

    def shown(first: int, beyond: int) -> str:
        clipped = [(max(one, first) - first, min(other, beyond) - first) for one, other in secrets]
        return without(text[first:beyond], [(one, other) for one, other in clipped if one < other])

    before = shown(begun, place)
    is_secret = any(first <= place < beyond for first, beyond in secrets)
    message = "this cannot be read as a template" if is_secret else error.message
    finding = finding_at(
        kinds.SYNTAX,
        error.name,
        (error.line, error.column),
        message=f"{message}\n{excerpt(before + shown(place, end), len(before) + 1)}",
        advice=r"mend it at this place; a brace that is text is written \{",
    )
    return places.placed(finding, None)
