"""What impact.com does, as an engine: settings and templates, events and actions, rendering and delivery.

    notification = load_notification(Path("notification.toml"), os.environ)
    postback = render_postback(notification, event)              # what impact.com would send
    async with Sender(notification) as sender: ...               # send it, paced and retried

Events of your own come from `postback_sender.action`: `track`, `modify`, `reverse` and so on. This package knows
nothing of the receiver, rules or generators.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postback_sender.delivery.run import Delivery
    from postback_sender.errors import RenderError, SenderError, TargetError
    from postback_sender.event import Event, EventFormatError, encode_event, example_event, read_events
    from postback_sender.notification import Notification, NotificationSource, parse_notification
    from postback_sender.notification_file import load_notification
    from postback_sender.postback import Postback, render_postback
    from postback_sender.quantities import QuantityError, Rate
    from postback_sender.sender import Sender
    from postback_sender.settings_table import NotificationError
    from postback_sender.template import Match, Mismatch, Template, TemplateOptions, TemplateSyntaxError

# Nobody waits for what they do not use: asyncio, which sending needs, takes as long to import as all the rest.
_LOADED_WHEN_USED = {
    "Delivery": "postback_sender.delivery.run",
    "Event": "postback_sender.event",
    "EventFormatError": "postback_sender.event",
    "Match": "postback_sender.template",
    "Mismatch": "postback_sender.template",
    "Notification": "postback_sender.notification",
    "NotificationError": "postback_sender.settings_table",
    "NotificationSource": "postback_sender.notification",
    "Postback": "postback_sender.postback",
    "QuantityError": "postback_sender.quantities",
    "Rate": "postback_sender.quantities",
    "RenderError": "postback_sender.errors",
    "Sender": "postback_sender.sender",
    "SenderError": "postback_sender.errors",
    "TargetError": "postback_sender.errors",
    "Template": "postback_sender.template",
    "TemplateOptions": "postback_sender.template",
    "TemplateSyntaxError": "postback_sender.template",
    "encode_event": "postback_sender.event",
    "example_event": "postback_sender.event",
    "load_notification": "postback_sender.notification_file",
    "parse_notification": "postback_sender.notification",
    "read_events": "postback_sender.event",
    "render_postback": "postback_sender.postback",
}


def __getattr__(name: str) -> object:
    if name not in _LOADED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LOADED_WHEN_USED[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LOADED_WHEN_USED})


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
