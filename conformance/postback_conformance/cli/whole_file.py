"""Files that others read while we write: whoever sees one sees all of it."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; one that was there keeps its mode. Raises `OSError`."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8", newline="")
    if path.exists():
        draft.chmod(path.stat().st_mode)
    draft.replace(path)
