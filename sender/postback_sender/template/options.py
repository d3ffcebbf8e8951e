"""The knobs of the template language: where the public record is silent, a choice with a stated default."""

from typing import Literal

import msgspec


class TemplateOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a template is read and filled in; the `[template]` table of a notification.

    impact.com documents `{Name}`, three backslash escapes and `join`, by one example (help centre, "Enable Action
    Clearing Events Notification", step 5). Everything here is what that example leaves open.
    """

    escaping: Literal["context", "raw"] = "context"
    """`context` escapes each value for where it stands; `raw` puts it in untouched, to see what that breaks."""
    unknown_token: Literal["keep", "empty", "error"] = "keep"
    """What becomes of a token nobody knows: its own text, nothing, or an error."""
    join_separator: str = ","
    """Between two items of a `join` that names no separator; a comma, since the example joins inside a JSON array."""
    name_white_space: Literal["ignore", "error"] = "ignore"
    """White space inside `{ }`; ignored, since the example itself breaks `{DeltaAmount}` over two lines."""
    name_case: Literal["exact", "ignore"] = "exact"
    """Whether `{payout}` means `{Payout}`; the documentation only ever shows the exact spelling."""
    dangling_brace: Literal["literal", "error"] = "literal"
    """A `{` that opens no token; literal, since the example begins with one."""
    values_at: Literal["event", "send"] = "event"
    """Whose values a postback carries that had to wait: those of its event, or the action's newest when it leaves.

    The help centre has two wordings: the delay lies before a postback is sent, or before it is "generated and sent".
    """
