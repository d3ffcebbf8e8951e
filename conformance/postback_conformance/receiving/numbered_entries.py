"""Places in TOML texts with lists of tables: which entry a line belongs to."""

import re
from collections import Counter

_ENTRY_HEADER = re.compile(r"\s*\[\[\s*([^\[\]]+?)\s*\]\]")


def numbered_entries(text: str) -> str:
    """Return a TOML text in which the header of every list entry tells which one it is: `[[step]]` as `[step 2]`.

    The lines stay where they are, so that the place of `afer` in `step 2` can be looked up. Such a header inside a text
    of several lines is counted as well: a message may then name a wrong line.
    """
    seen: Counter[str] = Counter()
    latest: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        parent, _, last = found[1].rpartition(".")
        # An entry inside an entry belongs to the latest one of those.
        path = ".".join(part for part in (latest.get(parent, parent), last) if part)
        seen[path] += 1
        latest[found[1]] = f"{path} {seen[path]}"
        return f"[{latest[found[1]]}]"

    return "\n".join(_ENTRY_HEADER.sub(numbered, line, count=1) if "[[" in line else line for line in text.splitlines())
