"""What a receiver's parent and its workers tell each other, over pipes: frames of a length and so many bytes.

A worker gets its settings as the first frame of its standard input, and stops when that ends, which it also does when
the parent is killed. What it sends back are reports.
"""

import asyncio
import struct
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from postback_receiver import Capture
from postback_receiver.metrics import Metric

T = TypeVar("T")

MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
"""A capture is at most a few megabytes; a longer frame means that the two have lost each other."""

_LENGTH: Final = struct.Struct(">I")


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing a worker tells: its numbers, or a capture whose answer has left. The first report says that it listens.

    `untold` counts captures that were stored but not reported, because the parent could not keep up.
    """

    metrics: tuple[Metric, ...] | None = None
    capture: Capture | None = None
    untold: int = 0


def to_frame(value: object) -> bytes:
    """Return a value as one frame."""
    data = msgspec.msgpack.encode(value, enc_hook=_from_path)
    return _LENGTH.pack(len(data)) + data


async def read_frame(reader: asyncio.StreamReader, kind: type[T]) -> T | None:
    """Return the next frame; None at the end, also when that came in the middle of a frame."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME_BYTES:
            return None
        return msgspec.msgpack.decode(await reader.readexactly(length), type=kind, dec_hook=_to_path)
    except asyncio.IncompleteReadError:
        return None


def _from_path(value: Any) -> str:  # noqa: ANN401  whatever msgspec does not know itself
    if not isinstance(value, Path):
        raise NotImplementedError(f"a frame cannot hold {type(value)}")
    return str(value)


def _to_path(kind: type, value: Any) -> Path:  # noqa: ANN401  msgspec hands over what it read
    if kind is not Path:
        raise NotImplementedError(f"a frame cannot hold {kind}")
    return Path(value)
