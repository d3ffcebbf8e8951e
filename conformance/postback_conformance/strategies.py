"""Hypothesis strategies for everything that a postback goes through, from the action to what a receiver records.

    from postback_conformance.strategies import lifecycles

    @given(life=lifecycles(max_updates=2))
    def test_the_last_update_wins(life): ...

With Hypothesis' own way for types, nothing has to be imported but the type: `st.from_type(Action)`.
"""

from postback_conformance.generating.action_strategies import actions, events, items, lifecycles
from postback_conformance.generating.capture_strategies import captures
from postback_conformance.generating.fault_strategies import fault_scripts, faults
from postback_conformance.generating.notification_strategies import notification_sources, notifications
from postback_conformance.generating.template_strategies import templates
from postback_conformance.generating.wire_strategies import wire_texts
from postback_conformance.hypothesis_types import register

__all__ = [
    "actions",
    "captures",
    "events",
    "fault_scripts",
    "faults",
    "items",
    "lifecycles",
    "notification_sources",
    "notifications",
    "templates",
    "wire_texts",
]

# Where Hypothesis was told to load no plugins, this is what tells it of our types.
register()
