"""What an outbox raises on purpose."""

from postback_sender.errors import SenderError


class OutboxError(SenderError):
    """An outbox that cannot be opened, or did not do what it was asked for; nothing of that was kept."""


class EntryLookupError(OutboxError):
    """Entries were asked for that are not there."""
