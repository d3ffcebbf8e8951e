"""What the judge and the command line raise on purpose.

ConformanceError
├── TrafficError      a file of captures that cannot be read or judged
└── SelectionError    a selection that leaves nothing to do
"""


class ConformanceError(Exception):
    """Base of every error the conformance kit raises on purpose; its text is one message for a person."""


class TrafficError(ConformanceError):
    """A file of captures that cannot be read, or that says too little to be judged."""


class SelectionError(ConformanceError):
    """A selection of rules, captures or events that leaves nothing to do."""
