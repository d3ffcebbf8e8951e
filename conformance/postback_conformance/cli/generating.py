"""Hypothesis as a part of a command: it leaves nothing where the command was run."""

import os
from pathlib import Path

from hypothesis.configuration import set_hypothesis_home_dir


def keep_hypothesis_out_of_here() -> None:
    """Put the folder `.hypothesis`, in which tables of Unicode are cached, with the user's other caches."""
    if "HYPOTHESIS_STORAGE_DIRECTORY" not in os.environ:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        set_hypothesis_home_dir(Path(cache) / "postback-kit" / "hypothesis")
