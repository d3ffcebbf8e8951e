"""The lock of an outbox file, and what its holder has under way: both outlive a kill, the one as a void claim.

The lock is on a file beside the outbox: SQLite locks the database in a way that the system drops as soon as anybody in
the same process closes it. The system drops ours with the process, so nothing is left to clean up after kill -9.

What is under way stands in the same file, in a place for each, written before the request leaves. A place that was
used is not cleared, since the attempt is in the outbox by then, which tells whoever reads it later that it is stale.
The file is mapped, so that an attempt costs a few bytes in the system's memory; like a commit, they outlive the process
and do not wait for the disk. A call that writes would let go of Python's lock, and wait to get it back.
"""

import errno
import fcntl
import mmap
import os
import time
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Final

from postback_sender.outbox.entry import Begun
from postback_sender.outbox.sqlite_file import outbox_error, outbox_errors

# The process, as text; then the places.
_HEAD_BYTES: Final = 32
_PLACE: Final = Struct("<4q")
_PAGE_BYTES: Final = 4096


class OutboxLock:
    """The right to change an outbox file, held by one process at a time and gone when that process is.

    Its file holds the number of the process that has it, or had it and was killed, and its date says when the outbox
    was last used: `last_used_ns`, wall time, None for never. `left_behind` is what the one that was killed may have had
    under way; it stays in the file until `clear`, and so does what was begun and did not end.
    """

    def __init__(self, path: Path) -> None:
        """Take it, or raise `OutboxError` that names the process which has it."""
        self._path = path
        # One outbox is one outbox, by whatever links it is reached.
        real = path.resolve()
        file = real.with_name(f"{real.name}-lock")
        with outbox_errors(path):
            is_new = not file.exists()
            self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self._holder()
                os.close(self._file)
                self._file = -1
                raise outbox_error(path, f"{holder} works on it. Stop that one, or use another file.") from None
            # Whoever was killed cannot have noted when that was.
            state = os.fstat(self._file)
            noted_ns = time.time_ns() if state.st_size else state.st_mtime_ns
            self.last_used_ns = None if is_new else noted_ns
            self.left_behind = _places(os.pread(self._file, state.st_size, 0)[_HEAD_BYTES:])
            os.pwrite(self._file, str(os.getpid()).encode().ljust(_HEAD_BYTES), 0)
        # The place of what is under way, by entry, and places to be used again.
        self._begun: dict[int, int] = {}
        self._free: list[int] = []
        self._map: mmap.mmap | None = None

    def clear(self) -> None:
        """Forget what was left behind: it is in the outbox now."""
        with outbox_errors(self._path):
            os.ftruncate(self._file, _HEAD_BYTES)
        self.left_behind = ()

    def begin(self, begun: Begun) -> None:
        """Note that an attempt is about to leave, so that a kill cannot hide it. Raises `OutboxError`."""
        place = self._begun.get(begun.entry_id)
        if place is None:
            place = self._free.pop() if self._free else len(self._begun)
            self._begun[begun.entry_id] = place
        offset = _HEAD_BYTES + place * _PLACE.size
        _PLACE.pack_into(self._mapped(offset + _PLACE.size), offset, *begun)

    def end(self, entry_id: int) -> None:
        """Note that the attempt of an entry is in the outbox."""
        place = self._begun.pop(entry_id, None)
        if place is not None:
            self._free.append(place)

    def note_use(self, at_ns: int) -> None:
        """Note that the outbox was used until then."""
        self.last_used_ns = max(at_ns, self.last_used_ns or at_ns)

    def release(self) -> None:
        """Let others have it; a second call does nothing."""
        if self._file < 0:
            return
        if self._map is not None:
            self._map.close()
        # What has no end in the outbox is left behind as by a kill.
        if not self._begun and not self.left_behind:
            with suppress(OSError):
                os.ftruncate(self._file, 0)
                used_ns = max(0, self.last_used_ns or 0)
                os.utime(self._file, ns=(used_ns, used_ns))
        os.close(self._file)
        self._file = -1

    def _mapped(self, size: int) -> mmap.mmap:
        """Return the file as memory, with room for so many bytes at least."""
        if self._map is not None and len(self._map) >= size:
            return self._map
        with outbox_errors(self._path):
            had = os.fstat(self._file).st_size
            needed = max(2 * had, _PAGE_BYTES)
            # Written, and not just made longer: memory that has no place on the disk could not be reported as full.
            if os.pwrite(self._file, bytes(needed - had), had) < needed - had:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._map = mmap.mmap(self._file, needed)
            return self._map

    def _holder(self) -> str:
        number = os.pread(self._file, _HEAD_BYTES, 0).strip()
        return f"the process {number.decode()}" if number.isdigit() else "another process"


def _places(data: bytes) -> tuple[Begun, ...]:
    """Return what stands in places, whatever else a broken file may hold."""
    whole = data[: len(data) // _PLACE.size * _PLACE.size]
    return tuple(Begun(*place) for place in _PLACE.iter_unpack(whole) if place[0] > 0)
