"""The lock of an outbox file, and what its holder has under way: both outlive a kill, the one as a void claim.

The lock is on a file beside the outbox: SQLite locks the database in a way that the system drops as soon as anybody in
the same process closes it. The system drops ours with the process, so nothing is left to clean up after kill -9.

What is under way stands in the same file, in a place for each, written before the request leaves. A place that was
used is not cleared, since the attempt is in the outbox by then, which tells whoever reads it later that it is stale.
The file is mapped, so that an attempt costs a few bytes in the system's memory; like a commit, they outlive the
process and do not wait for the disk. A call that writes would let go of Python's lock, and wait to get it back. A full
disk is found out when the file gets longer. Where that can happen later (on file systems that copy on write), the
system ends the process, and all is as after a kill.
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
from weakref import WeakSet

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
        file = _lock_file(path)
        with outbox_errors(path):
            is_new = not file.exists()
            self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                state = self._take()
            except BaseException:
                # Else it would stay locked for as long as this process lives.
                os.close(self._file)
                self._file = -1
                raise
        _HELD.add(self)
        # Whoever was killed cannot have noted when that was.
        noted_ns = time.time_ns() if state.st_size else state.st_mtime_ns
        self.last_used_ns = None if is_new else noted_ns
        # The place of what is under way, by entry, and places to be used again.
        self._begun: dict[int, int] = {}
        self._free: list[int] = []
        # How long the file is for certain; and the file as memory, where there is such a thing.
        self._room = _HEAD_BYTES
        self._map: mmap.mmap | None = None

    def _take(self) -> os.stat_result:
        """Lock the file and put this process into it; return what was known of it before."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise outbox_error(
                self._path, f"{self._holder()} works on it. Stop that one, or use another file."
            ) from None
        state = os.fstat(self._file)
        self.left_behind = _places(os.pread(self._file, state.st_size, 0))
        self._write(str(os.getpid()).encode().ljust(_HEAD_BYTES), 0)
        return state

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
        if offset + _PLACE.size > self._room:
            with outbox_errors(self._path):
                self._make_room()
        if self._map is not None:
            _PLACE.pack_into(self._map, offset, *begun)
            return
        with outbox_errors(self._path):
            self._write(_PLACE.pack(*begun), offset)

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
        self.forsake()

    def forsake(self) -> None:
        """Have nothing to do with it any more; a process that this one was forked from keeps it as it is."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._room, self._map = 0, None

    def _make_room(self) -> None:
        """Make the file twice as long."""
        had = os.fstat(self._file).st_size
        needed = max(2 * had, _PAGE_BYTES)
        # Written, and not just made longer: memory that has no place on the disk could not be reported as full.
        self._write(bytes(needed - had), had)
        self._room = needed
        self._map = None
        # What some networks and virtual machines share cannot be mapped.
        with suppress(OSError, ValueError):
            self._map = mmap.mmap(self._file, needed)

    def _write(self, data: bytes, offset: int) -> None:
        if os.pwrite(self._file, data, offset) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _holder(self) -> str:
        number = os.pread(self._file, _HEAD_BYTES, 0).strip()
        return f"the process {number.decode()}" if number.isdigit() else "another process"


# A child would keep the file locked after its parent was killed, or empty it while its parent works on it.
_HELD: Final[WeakSet[OutboxLock]] = WeakSet()


def _forsake_all() -> None:
    for lock in tuple(_HELD):
        lock.forsake()


os.register_at_fork(after_in_child=_forsake_all)


def under_way(path: Path) -> tuple[Begun, ...]:
    """Return what whoever holds the lock of an outbox may have under way, or had when it was killed.

    Read without the lock: what has ended is among it.
    """
    try:
        return _places(_lock_file(path).read_bytes())
    except OSError:
        return ()


def _lock_file(path: Path) -> Path:
    # One outbox is one outbox, by whatever links it is reached.
    real = path.resolve()
    return real.with_name(f"{real.name}-lock")


def _places(data: bytes) -> tuple[Begun, ...]:
    """Return what stands in the places of a lock file, whatever else a broken one may hold."""
    size = max(0, len(data) - _HEAD_BYTES) // _PLACE.size * _PLACE.size
    return tuple(Begun(*place) for place in _PLACE.iter_unpack(data[_HEAD_BYTES : _HEAD_BYTES + size]) if place[0] > 0)
