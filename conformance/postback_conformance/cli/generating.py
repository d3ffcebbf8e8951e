"""Generated events for a command: the seed is told, and Hypothesis leaves nothing where the command was run."""

import os
import secrets
from pathlib import Path

from hypothesis.configuration import set_hypothesis_home_dir

from postback_conformance.cli.saying import say
from postback_conformance.driving import generated_events
from postback_sender import Event, Notification

# Generating so many takes a second or two; with more, somebody waits and wonders.
_MANY_EVENTS = 500


def generate_and_tell(settings: Notification, *, count: int, seed: int | None) -> list[Event]:
    """Return generated events, and say by which seed; None chooses one."""
    keep_hypothesis_out_of_here()
    seed = secrets.randbelow(2**32) if seed is None else seed
    say(f"seed {seed}: the same events again with --seed {seed} --count {count}")
    if count > _MANY_EVENTS:
        say(f"generating {count} events; this takes a while, and Ctrl-C ends it")
    return generated_events(settings, count=count, seed=seed)


def keep_hypothesis_out_of_here() -> None:
    """Put the folder `.hypothesis`, in which tables of Unicode are cached, with the user's other caches."""
    if "HYPOTHESIS_STORAGE_DIRECTORY" not in os.environ:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        set_hypothesis_home_dir(Path(cache) / "postback-kit" / "hypothesis")
