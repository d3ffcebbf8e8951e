"""What programs write for a value they have not."""

# In any mixture of upper and lower case.
NULL_WORDS = frozenset({"null", "(null)", "<null>", "nil", "none", "undefined", "nan"})
_LONGEST = max(map(len, NULL_WORDS))


def is_null_word(text: str) -> bool:
    """Tell whether a text is such a word and nothing else."""
    return len(text) <= _LONGEST and text.lower() in NULL_WORDS
