"""What the judge and the command line raise on purpose.

ConformanceError
├── TrafficError      a file of captures that cannot be read or judged
├── FilterError       a filter of captures that cannot be read
├── SelectionError    a selection that leaves nothing to do
└── ReceiverFileError settings of a receiver that cannot be used

NotificationWarning is what tests are warned of, and raised by nobody.
"""


class ConformanceError(Exception):
    """Base of every error the conformance kit raises on purpose; its text is one message for a person."""


class TrafficError(ConformanceError):
    """A file of captures that cannot be read, or that says too little to be judged."""


class FilterError(ConformanceError):
    """A filter of captures that cannot be read; shows where."""


class SelectionError(ConformanceError):
    """A selection of rules, captures or events that leaves nothing to do."""


class ReceiverFileError(ConformanceError):
    """Settings of a receiver that cannot be used; names the file, the line where it is known, and the key."""


class NotificationWarning(UserWarning):
    """Settings of a notification that `postback lint` finds at fault, though an endpoint can be tested with them."""
