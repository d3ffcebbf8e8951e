"""What impact.com does, as an engine: settings and templates, events and actions, rendering and delivery policy.

Everything exported here is pure. `postback_sender.sender.Sender` puts requests on the wire.
"""

from postback_sender.errors import RenderError, SenderError, TargetError
from postback_sender.event import Event, EventFormatError, encode_event, example_event, read_events
from postback_sender.notification import Notification, NotificationSource, parse_notification
from postback_sender.postback import Postback, render_postback
from postback_sender.quantities import QuantityError, Rate
from postback_sender.settings_table import NotificationError
from postback_sender.template import Template, TemplateOptions, TemplateSyntaxError

__all__ = [
    "Event",
    "EventFormatError",
    "Notification",
    "NotificationError",
    "NotificationSource",
    "Postback",
    "QuantityError",
    "Rate",
    "RenderError",
    "SenderError",
    "TargetError",
    "Template",
    "TemplateOptions",
    "TemplateSyntaxError",
    "encode_event",
    "example_event",
    "parse_notification",
    "read_events",
    "render_postback",
]
