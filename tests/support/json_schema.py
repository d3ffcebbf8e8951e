"""JSON Schemas as tests use them; the one place that knows the library."""

from typing import Any, Final

import jsonschema
from jsonschema import validators


class Schema:
    """A schema that is one, of the draft it names; draft 2020-12 if it names none."""

    def __init__(self, schema: dict[str, Any]) -> None:
        # The library's own types lead into others that are not known.
        kind: Any = validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
        self._validator: Final[Any] = kind(schema, format_checker=kind.FORMAT_CHECKER)

    def accept(self, value: object) -> None:
        """Fail, naming the place, unless a value is valid."""
        self._validator.validate(value)

    def takes(self, value: object) -> bool:
        """Whether a value is valid."""
        return bool(self._validator.is_valid(value))
