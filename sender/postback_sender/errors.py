"""What the sender raises on purpose.

    SenderError
    ├── TemplateSyntaxError    the template text does not follow the grammar
    ├── RenderError            a template and an event do not make a request
    ├── QuantityError          a duration, rate, size or factor that cannot be read
    ├── NotificationError      the settings file is wrong
    ├── TargetError            the target may not be sent to
    ├── OutboxError            the outbox cannot be used, or did not do what it was asked for
    ├── EventFormatError       an event line cannot be read
    ├── HeaderChangeError      a header that cannot be set, or must not be
    └── TransitionError        an action cannot take that step

Each text is one message for a person: what, where, expected, got, what to do.
"""


class SenderError(Exception):
    """Base of every error the sender raises on purpose; its text is one message for a person."""


class RenderError(SenderError):
    """A template and an event that do not make a request; names the token and its place in the template."""


class TargetError(SenderError):
    """A target that must not be sent to, such as a host beyond loopback that nobody allowed."""
