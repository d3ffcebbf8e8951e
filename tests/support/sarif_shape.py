"""The part of SARIF 2.1.0 that a report uses, as a JSON Schema of our own: what may stand where, and what must.

OASIS SARIF 2.1.0: §3.13 log, §3.14 run, §3.18 tool, §3.20 invocation, §3.24 artifact, §3.27 result, §3.28 location,
§3.33 logical location, §3.35 suppression, §3.46 web request, §3.47 web response, §3.49 reporting descriptor,
§3.58 notification. Nothing else may stand there, so that a misspelt property is a failure.
"""

from typing import Any, Final

_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_INDEX: Final = {"type": "integer", "minimum": -1}
_LEVEL: Final = {"enum": ["none", "note", "warning", "error"]}
_BAG: Final = {"type": "object"}


def _record(required: str, **properties: Any) -> dict[str, Any]:  # noqa: ANN401  a schema holds schemas
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _several(items: dict[str, Any], **limits: Any) -> dict[str, Any]:  # noqa: ANN401  the same
    return {"type": "array", "items": items, **limits}


_MESSAGE: Final = _record("text", text={"type": "string", "minLength": 1})
_BOTH: Final = _record("text", text=_TEXT, markdown=_TEXT)
_PLACE: Final = _record("", uri={"type": "string", "pattern": r"^[A-Za-z0-9._~:/%-]*$"}, index=_INDEX)
_RULE: Final = _record(
    "id",
    id=_TEXT,
    name={"type": "string", "pattern": "^[A-Z][A-Za-z0-9]*$"},
    shortDescription=_MESSAGE,
    fullDescription=_MESSAGE,
    help=_BOTH,
    defaultConfiguration=_record("level", level=_LEVEL),
    properties=_record("tags", tags=_several(_TEXT, uniqueItems=True)),
)
_NOTIFICATION: Final = _record(
    "message",
    message=_MESSAGE,
    level=_LEVEL,
    descriptor=_record("id", id=_TEXT),
    associatedRule=_record("id index", id=_TEXT, index=_INDEX),
)
_LOCATION: Final = _record(
    "physicalLocation",
    physicalLocation=_record(
        "artifactLocation region",
        artifactLocation=_PLACE,
        region=_record("startLine", startLine={"type": "integer", "minimum": 1}),
    ),
    logicalLocations=_several(_record("", name=_TEXT, fullyQualifiedName=_TEXT, kind=_TEXT), uniqueItems=True),
)
_RESULT: Final = _record(
    "ruleId level kind message locations partialFingerprints",
    ruleId=_TEXT,
    ruleIndex=_INDEX,
    level={"enum": ["note", "warning", "error"]},
    kind={"const": "fail"},
    message=_MESSAGE,
    occurrenceCount={"type": "integer", "minimum": 1},
    locations=_several(_LOCATION, minItems=1),
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]{32}$"}},
    suppressions=_several(
        _record("kind", kind={"enum": ["inSource", "external"]}, status={"const": "accepted"}, justification=_TEXT)
    ),
    webRequest=_record(
        "",
        protocol=_TEXT,
        version=_TEXT,
        method=_TEXT,
        target=_TEXT,
        headers={"type": "object", "additionalProperties": _TEXT},
        body=_record("text", text=_TEXT),
    ),
    webResponse=_record("statusCode", statusCode=_COUNT),
    properties=_BAG,
)

SARIF_SHAPE: Final = _record(
    "version runs",
    **{
        "$schema": {
            "const": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
        }
    },
    version={"const": "2.1.0"},
    runs=_several(
        _record(
            "tool results",
            tool=_record(
                "driver", driver=_record("name", name=_TEXT, version=_TEXT, rules=_several(_RULE, uniqueItems=True))
            ),
            invocations=_several(
                _record(
                    "executionSuccessful",
                    executionSuccessful={"type": "boolean"},
                    toolExecutionNotifications=_several(_NOTIFICATION),
                )
            ),
            artifacts=_several(_record("", location=_PLACE, roles=_several({"const": "analysisTarget"}))),
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results=_several(_RESULT),
            automationDetails=_record("", id=_TEXT),
            properties=_BAG,
        ),
        minItems=1,
        maxItems=1,
    ),
)
