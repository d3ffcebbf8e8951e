"""What impact.com does, as an engine: settings and templates, events and actions, rendering and delivery.

    notification = load_notification(Path("notification.toml"), os.environ)
    postback = render_postback(notification, event)              # what impact.com would send
    async with Sender(notification) as sender: ...               # send it, paced and retried

Events of your own come from `postback_sender.action`: `track`, `modify`, `reverse` and so on. This package knows
nothing of the receiver, rules or generators.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from postback_sender.errors import RenderError, SenderError, TargetError
from postback_sender.event import Event, EventFormatError, encode_event, example_event, read_events
from postback_sender.notification import Notification, NotificationSource, parse_notification
from postback_sender.notification_file import load_notification
from postback_sender.postback import Postback, render_postback
from postback_sender.quantities import QuantityError, Rate
from postback_sender.settings_table import NotificationError
from postback_sender.template import Match, Mismatch, Template, TemplateOptions, TemplateSyntaxError

if TYPE_CHECKING:
    from postback_sender.delivery.run import Delivery
    from postback_sender.sender import Sender

# What sends needs the network, and asyncio alone takes as long to import as all the rest. Whoever only renders or
# lints does not wait for it.
_LOADED_WHEN_USED = {"Delivery": "postback_sender.delivery.run", "Sender": "postback_sender.sender"}


def __getattr__(name: str) -> object:
    if name not in _LOADED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LOADED_WHEN_USED[name]), name)


__all__ = [
    "Delivery",
    "Event",
    "EventFormatError",
    "Match",
    "Mismatch",
    "Notification",
    "NotificationError",
    "NotificationSource",
    "Postback",
    "QuantityError",
    "Rate",
    "RenderError",
    "Sender",
    "SenderError",
    "TargetError",
    "Template",
    "TemplateOptions",
    "TemplateSyntaxError",
    "encode_event",
    "example_event",
    "load_notification",
    "parse_notification",
    "read_events",
    "render_postback",
]
