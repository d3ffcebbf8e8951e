"""What a partner's tests import besides the plugin's fixtures: their types for annotations, and `Command`."""

from postback_conformance.driving import EventSender
from postback_conformance.hosting.command_host import Command
from postback_conformance.hosting.hosted import Hosted
from postback_conformance.pytest_plugin.cases import PostbackCase

__all__ = ["Command", "EventSender", "Hosted", "PostbackCase"]
