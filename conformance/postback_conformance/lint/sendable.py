"""What is wrong with settings that can be sent all the same, in words for whoever tests an endpoint with them."""

from postback_conformance.lint.linting import lint_source
from postback_conformance.printable import counted
from postback_sender.notification import NotificationSource


def faults_told(source: NotificationSource) -> tuple[str, ...]:
    """Return the first fault of settings, and how many there are, as lines; nothing for settings without one.

    No endpoint is to blame for these. Raises `NotificationError` for settings that cannot be read.
    """
    wrong = [one for one in lint_source(source) if one.level == "MUST"]
    if not wrong:
        return ()
    first = wrong[0]
    where = f"{first.file}, line {first.line}" if first.line is not None else first.file
    return (
        f"{where}: {first.message}",
        f"`postback lint` finds {counted(len(wrong), 'fault')} in these settings; the endpoint gets what they make",
    )
