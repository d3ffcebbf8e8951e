"""The JSON Schema of one line of NDJSON, made from the records that read and write it."""

from inspect import cleandoc
from typing import Any, Final, cast

import msgspec

from postback_receiver.ndjson import FORMAT, AnswerLine, CaptureLine

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ONE_BODY: Final = [{"required": ["body"]}, {"required": ["body_base64"]}]


def capture_schema() -> dict[str, Any]:
    """The schema that every line of `capture_to_line` is valid under, for draft 2020-12.

    It is a little more lenient than `line_to_capture`, which also wants dates that exist and base64 that can be read.
    """
    [reference], definitions = msgspec.json.schema_components([CaptureLine])
    for record in (CaptureLine, AnswerLine):
        cast("dict[str, Any]", definitions[record.__name__])["oneOf"] = _ONE_BODY
    for definition in definitions.values():
        # Python 3.13 takes the indentation off docstrings itself.
        definition["description"] = cleandoc(definition["description"])
    return {"$schema": _DIALECT, "title": FORMAT, **reference, "$defs": definitions}
