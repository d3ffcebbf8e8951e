"""Text that no terminal and no page obeys."""


def printable(text: str, *, keep: str = "") -> str:
    """Return a text with control characters and the like written as escapes, so that no terminal or page obeys them."""
    # Nearly all text is, and to know that of the whole costs as much as of one letter.
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep else repr(letter)[1:-1] for letter in text)
