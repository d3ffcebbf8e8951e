"""What a value must look like, by its token."""

from collections.abc import Callable

import msgspec

from postback_sender.tokens import Token

Shape = Callable[[str], object]
"""Whether a text has the form: anything true does, such as the match of a regular expression."""


class Form(msgspec.Struct, frozen=True):
    """What a value must look like: the test, and the same in words.

    `problem` says what is wrong with a text that does not pass, as in "Z instead of a numeric offset"; empty when it is
    enough to say what was expected. Whatever matches the regular expression `usual` passes: it is what nearly all
    values look like, so that all those of a capture can be tested in one go.
    """

    shape: Shape
    expected: str
    problem: Callable[[str], str] = lambda _text: ""
    usual: str = "(?!)"


FormOf = Callable[[Token], Form | None]
"""The form of a token's values, or None for tokens that a rule does not ask about."""
