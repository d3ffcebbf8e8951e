"""Scenarios: a script of what happens to actions and when, and of postbacks that come twice, late or all at once.

`read_scenario` reads the file, `plan` plays the script in thought, and `drafts` are what a sender delivers of it.
"""

from postback_conformance.scenario.planning import PlannedSend, plan
from postback_conformance.scenario.reading import read_scenario
from postback_conformance.scenario.script import MAX_EVENTS, Scenario
from postback_conformance.scenario.sending import drafts

__all__ = ["MAX_EVENTS", "PlannedSend", "Scenario", "drafts", "plan", "read_scenario"]
