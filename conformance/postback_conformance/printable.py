"""Text for people: what no terminal and no page obeys, and numbers with what they count."""


def printable(text: str, *, keep: str = "") -> str:
    """Return a text with control characters and the like written as escapes, so that no terminal or page obeys them."""
    # Nearly all text is, and to know that of the whole costs as much as of one letter.
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep else repr(letter)[1:-1] for letter in text)


def counted(count: int, noun: str) -> str:
    """Return a number with what it counts, such as `1 event` or `2 events`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
