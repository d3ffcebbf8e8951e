"""JSON Schemas as tests use them; the one place that knows the library."""

from typing import Any, Final

import jsonschema


class Schema:
    """A schema of draft 2020-12 that is one."""

    def __init__(self, schema: dict[str, Any]) -> None:
        jsonschema.Draft202012Validator.check_schema(schema)
        # The library's own types lead into others that are not known.
        self._validator: Final[Any] = jsonschema.Draft202012Validator(schema)

    def accept(self, value: object) -> None:
        """Fail, naming the place, unless a value is valid."""
        self._validator.validate(value)

    def takes(self, value: object) -> bool:
        """Whether a value is valid."""
        return bool(self._validator.is_valid(value))
