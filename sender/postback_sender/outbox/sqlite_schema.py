"""The tables of an outbox file, and how entries go in and come out.

A *lane* is what one sender works through: the entries of one notification for one target. An entry also refers to the
settings as they were when it was accepted; environment variables are unresolved there, so no secret of theirs is ever
in the file. Of a target only scheme, host and port are kept in the clear, since the rest of a URL may be a secret.

The state of an entry says in one small number what is to be done with it, so that two partial indexes answer every
question of a sender by touching only the rows it wants: which entry is due next, and which one follows in its key.
"""

from datetime import datetime
from hashlib import sha256
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from postback_sender.event import Event
from postback_sender.outbox.entry import Entry, LoggedAttempt, Outcome, State
from postback_sender.outbox.errors import OutboxError

EntryRow: TypeAlias = tuple[int, str, int, int, int, bytes]

# States below WAITING_BELOW wait. An entry is first when nothing keeps it from being claimed.
BEHIND, FIRST, CLAIMED, WAITING_BELOW = 1, 2, 3, 10
ENDED: Final[dict[Outcome, int]] = {"delivered": 11, "given up": 12}
DROPPED: Final = 13

CREATE_TABLES: Final = (
    # Settings as accepted; `files` is a JSON object of the files they refer to.
    "CREATE TABLE source (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, files TEXT NOT NULL)",
    """
    CREATE TABLE lane (
        id INTEGER PRIMARY KEY,
        notification TEXT NOT NULL,
        target TEXT NOT NULL,  -- scheme, host and port of where it goes instead of the settings' URL; '' for there
        target_digest TEXT NOT NULL,  -- tells targets apart that differ in the rest
        ordered INTEGER NOT NULL,  -- whether the states below keep the order per key
        UNIQUE (notification, target_digest)
    )
    """,
    """
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY,  -- the order of acceptance
        lane INTEGER NOT NULL,
        source INTEGER NOT NULL,
        key TEXT NOT NULL,
        due_ns INTEGER NOT NULL,
        state INTEGER NOT NULL,  -- 1 behind one of its key, 2 first, 3 claimed; 11 delivered, 12 given up, 13 dropped
        attempts INTEGER NOT NULL,  -- of this round
        round INTEGER NOT NULL,
        reason TEXT NOT NULL  -- why it ended
    )
    """,
    # Apart from its entry, whose small row is written again with every attempt.
    "CREATE TABLE event (entry INTEGER PRIMARY KEY, line BLOB NOT NULL)",
    """
    CREATE TABLE attempt (
        entry INTEGER NOT NULL,
        round INTEGER NOT NULL,
        number INTEGER NOT NULL,
        started_at_ns INTEGER NOT NULL,
        finished_at_ns INTEGER NOT NULL,
        failure TEXT NOT NULL,  -- '' for a success
        status INTEGER,
        detail TEXT NOT NULL,
        PRIMARY KEY (entry, round, number)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX entry_due ON entry (lane, due_ns, id) WHERE state = 2",
    "CREATE INDEX entry_queue ON entry (lane, key, id) WHERE state < 10 AND key <> ''",
)

FIND_SOURCE: Final = "SELECT id FROM source WHERE name = ? AND text = ? AND files = ?"
INSERT_SOURCE: Final = "INSERT INTO source (name, text, files) VALUES (?, ?, ?)"
FIND_LANE: Final = "SELECT id, ordered FROM lane WHERE notification = ? AND target_digest = ?"
INSERT_LANE: Final = "INSERT INTO lane (notification, target, target_digest, ordered) VALUES (?, ?, ?, ?)"

# Its parameters: id, lane, source, key, due_ns, and whether an order is to be kept.
INSERT_ENTRY: Final = """
    INSERT INTO entry (id, lane, source, key, due_ns, state, attempts, round, reason)
    VALUES (?1, ?2, ?3, ?4, ?5, CASE WHEN ?6 AND EXISTS (
        SELECT 1 FROM entry WHERE lane = ?2 AND key = ?4 AND state < 10 AND key <> ''
    ) THEN 1 ELSE 2 END, 0, 1, '')
"""
INSERT_EVENT: Final = "INSERT INTO event (entry, line) VALUES (?, ?)"
LAST_ID: Final = "SELECT coalesce(max(id), 0) FROM entry"

SELECT_CLAIMABLE: Final = """
    SELECT entry.id, key, due_ns, attempts, round, line FROM entry JOIN event ON event.entry = entry.id
    WHERE lane = ? AND state = 2 AND due_ns <= ? ORDER BY due_ns, entry.id LIMIT ?
"""
CLAIM: Final = "UPDATE entry SET state = 3 WHERE id = ?"
RELEASE: Final = "UPDATE entry SET state = 2 WHERE id = ? AND lane = ? AND state = 3"
VOID_CLAIMS: Final = "UPDATE entry SET state = 2 WHERE state = 3"
NEXT_DUE: Final = "SELECT due_ns FROM entry WHERE lane = ? AND state = 2 ORDER BY due_ns LIMIT 1"

RECORD: Final = """
    UPDATE entry SET attempts = coalesce(:number, attempts), due_ns = coalesce(:due_ns, due_ns), state = :state,
        reason = :reason
    WHERE id = :id AND lane = :lane AND state = 3 AND attempts = coalesce(:number - 1, attempts)
"""
SELECT_CLAIMED_ATTEMPTS: Final = "SELECT attempts FROM entry WHERE id = ? AND lane = ? AND state = 3"
INSERT_ATTEMPT: Final = """
    INSERT INTO attempt (entry, round, number, started_at_ns, finished_at_ns, failure, status, detail)
    VALUES (?1, (SELECT round FROM entry WHERE id = ?1), ?2, ?3, ?4, ?5, ?6, ?7)
"""
ADVANCE: Final = """
    UPDATE entry SET state = 2 WHERE state = 1 AND id = (
        SELECT id FROM entry
        WHERE lane = ?1 AND key = (SELECT key FROM entry WHERE id = ?2) AND state < 10 AND key <> ''
        ORDER BY id LIMIT 1
    )
"""
# Moves every waiting entry of a lane, none being claimed, to where it belongs: from first to behind, or the other way.
REARRANGE: Final = """
    UPDATE entry SET state = 3 - state
    WHERE lane = :lane AND state < 10 AND state <> CASE WHEN :ordered AND key <> '' AND EXISTS (
        SELECT 1 FROM entry AS earlier
        WHERE earlier.lane = :lane AND earlier.key = entry.key AND earlier.id < entry.id
            AND earlier.state < 10 AND earlier.key <> ''
    ) THEN 1 ELSE 2 END
"""

COUNT_STATES: Final = (
    "SELECT state, count(*) FROM entry WHERE lane = (SELECT id FROM lane WHERE notification = ? AND target_digest = ?) "
    "GROUP BY state"
)
SELECT_LOG: Final = """
    SELECT number, started_at_ns, finished_at_ns, failure, status, detail, round FROM attempt
    WHERE entry = ? ORDER BY round, number
"""

SELECT_LISTED: Final = """
    SELECT entry.id, key, due_ns, attempts, round, line, state, reason, notification, target, (
        SELECT trim(failure || ' ' || coalesce(status, '')) FROM attempt
        WHERE entry = entry.id AND failure <> '' ORDER BY round DESC, number DESC LIMIT 1
    )
    FROM entry JOIN event ON event.entry = entry.id JOIN lane ON lane.id = lane
    WHERE entry.id < :before AND (:id IS NULL OR entry.id = :id) AND state BETWEEN :from_state AND :to_state
    ORDER BY entry.id DESC LIMIT :limit
"""
COUNT_ALL_STATES: Final = "SELECT state, count(*) FROM entry GROUP BY state"
RETRY: Final = """
    UPDATE entry SET state = 1, round = round + 1, attempts = 0, due_ns = :due_ns, reason = ''
    WHERE state IN (12, 13) AND (:id IS NULL OR id = :id)
"""
DROP: Final = "UPDATE entry SET state = 13, reason = :reason WHERE state < 10 AND (:id IS NULL OR id = :id)"
SELECT_LANES: Final = "SELECT id, ordered FROM lane"

_NAMES: Final[dict[int, State]] = {11: "delivered", 12: "given up", 13: "dropped"}


class _EventLine(msgspec.Struct):
    """The line that `encode_event` wrote."""

    event: str
    at: str
    values: dict[str, str]
    items: tuple[dict[str, str], ...]


_decode_line = msgspec.json.Decoder(_EventLine).decode


def state_name(state: int) -> State:
    """Return what people call a state."""
    return "waiting" if state < WAITING_BELOW else _NAMES[state]


def state_range(state: State | None) -> tuple[int, int]:
    """Return the first and last number of a state, or of all states."""
    if state is None:
        return 0, DROPPED
    if state == "waiting":
        return 0, WAITING_BELOW - 1
    (number,) = (number for number, name in _NAMES.items() if name == state)
    return number, number


def stored_event(entry_id: int, line: bytes) -> Event:
    """Return the event of an entry, or raise `OutboxError` for a line that is not ours.

    Twenty times as fast as `decode_event`, which explains to people what is wrong with a line of theirs.
    """
    try:
        fields = _decode_line(line)
        return Event(kind=fields.event, at=datetime.fromisoformat(fields.at), values=fields.values, items=fields.items)
    except ValueError as error:
        raise OutboxError(f"entry {entry_id} of the outbox holds something that is not an event: {error}") from None


def stored_entry(row: EntryRow) -> Entry:
    """Return the entry in a row of `SELECT_CLAIMABLE`."""
    entry_id, key, due_ns, attempts, round_, line = row
    return Entry(
        id=entry_id, key=key, due_ns=due_ns, attempts=attempts, round=round_, event=stored_event(entry_id, line)
    )


def stored_attempt(row: tuple[int, int, int, str, int | None, str, int]) -> LoggedAttempt:
    """Return the attempt in a row of `SELECT_LOG`."""
    number, started_at_ns, finished_at_ns, failure, status, detail, round_ = row
    return LoggedAttempt(
        number=number,
        started_at_ns=started_at_ns,
        finished_at_ns=finished_at_ns,
        failure=failure,
        status=status,
        detail=detail,
        round=round_,
    )


def shown_target(to: str | None) -> str:
    """Return scheme, host and port of a target, which are no secret; "" for none, or for what is no URL."""
    try:
        parts = urlsplit(to or "")
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


def target_digest(to: str | None) -> str:
    """Return what tells two targets apart without giving either away; "" for none."""
    return sha256(to.encode(errors="backslashreplace")).hexdigest() if to else ""
