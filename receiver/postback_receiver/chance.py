"""Chance that can be repeated: the same seed, event and turn give the same draw, on every machine."""

import hashlib

_BITS = 53
"""What a float holds exactly."""


def draw(seed: int, purpose: str, key: str, turn: int) -> float:
    """Return a number from 0 up to 1, evenly spread; `purpose` keeps draws for different things apart."""
    text = f"{seed}\0{purpose}\0{turn}\0{key}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return (int.from_bytes(digest) >> (64 - _BITS)) / (1 << _BITS)
