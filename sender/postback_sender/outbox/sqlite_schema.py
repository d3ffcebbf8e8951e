"""The tables of an outbox file, and how entries go in and come out.

A *lane* is what one sender works through: the entries of one notification for one target. An entry also refers to the
settings as they were when it was accepted; environment variables are unresolved there, so no secret of theirs is ever
in the file. Of a target only scheme, host and port are kept in the clear, since the rest of a URL may be a secret.

The state of an entry says in one small number what is to be done with it, so that two partial indexes answer every
question of a sender by touching only the rows it wants: which entry is due next, and which one follows in its key.
What is claimed is not in the file: claims end with the process that made them.

A statement for many rows takes them as one JSON array. Python lets go of its lock for every step of SQLite's, and has
to wait to get it back; so a group of a hundred attempts is put down in one step instead of three hundred.
"""

from hashlib import sha256
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from postback_sender.outbox.entry import Entry, LoggedAttempt, Outcome, State

EntryRow: TypeAlias = tuple[int, str, int, int, int, int, bytes]

# In place of the instant at which an attempt ended.
NOBODY_SAW_IT: Final = -(2**63)

# States below WAITING_BELOW wait. An entry is held until all that is accepted with it is in the file, and it is first
# when nothing keeps it from being claimed.
HELD, BEHIND, FIRST, WAITING_BELOW = 0, 1, 2, 10
ENDED: Final[dict[Outcome, int]] = {"delivered": 11, "given up": 12}
DROPPED: Final = 13

# First sends and resends apart: those under a limit must not stand before those without.
_ENTRY_DUE: Final = "CREATE INDEX entry_due ON entry (lane, attempts > 0, due_ns, id) WHERE state = 2"
_ENTRY_HELD: Final = "CREATE INDEX entry_held ON entry (id) WHERE state = 0"
# What was purged leaves its highest id behind, so that none is given to another entry.
_PURGED: Final = ("CREATE TABLE purged (last_id INTEGER NOT NULL)", "INSERT INTO purged (last_id) VALUES (0)")

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
        state INTEGER NOT NULL,  -- 0 held, 1 behind one of its key, 2 first; 11 delivered, 12 given up, 13 dropped
        attempts INTEGER NOT NULL,  -- of this round
        round INTEGER NOT NULL,
        reason TEXT NOT NULL,  -- why it ended
        cut_off INTEGER NOT NULL DEFAULT 0  -- of those attempts, ended with their sender
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
        finished_at_ns INTEGER NOT NULL,  -- the least number there is when nobody was left to see it
        failure TEXT NOT NULL,  -- '' for a success
        status INTEGER,
        detail TEXT NOT NULL,
        PRIMARY KEY (entry, round, number)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX entry_queue ON entry (lane, key, id) WHERE state < 10 AND key <> ''",
    _ENTRY_DUE,
    _ENTRY_HELD,
    *_PURGED,
)
# From each version to the next one. The first kept claims in the file, the second knew neither what was cut off nor
# what was purged.
MIGRATIONS: Final = (
    ("UPDATE entry SET state = 2 WHERE state = 3", "DROP INDEX entry_due", _ENTRY_DUE, _ENTRY_HELD),
    ("ALTER TABLE entry ADD COLUMN cut_off INTEGER NOT NULL DEFAULT 0", *_PURGED),
)

FIND_SOURCE: Final = "SELECT id FROM source WHERE name = ? AND text = ? AND files = ?"
INSERT_SOURCE: Final = "INSERT INTO source (name, text, files) VALUES (?, ?, ?)"
FIND_LANE: Final = "SELECT id, ordered FROM lane WHERE notification = ? AND target_digest = ?"
INSERT_LANE: Final = "INSERT INTO lane (notification, target, target_digest, ordered) VALUES (?, ?, ?, ?)"

# Its parameters: id, lane, source, key, due_ns, and the state, or NULL for one that is worked out.
INSERT_ENTRY: Final = """
    INSERT INTO entry (id, lane, source, key, due_ns, state, attempts, round, reason)
    VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, CASE WHEN EXISTS (
        SELECT 1 FROM entry WHERE lane = ?2 AND key = ?4 AND state < 10 AND key <> ''
    ) THEN 1 ELSE 2 END), 0, 1, '')
"""
PUBLISH: Final = """
    UPDATE entry SET state = CASE WHEN :ordered AND key <> '' AND EXISTS (
        SELECT 1 FROM entry AS earlier
        WHERE earlier.lane = :lane AND earlier.key = entry.key AND earlier.id < entry.id
            AND earlier.state < 10 AND earlier.key <> ''
    ) THEN 1 ELSE 2 END
    WHERE id >= :first AND lane = :lane AND state = 0
"""
FORGET_HELD: Final = (
    "DELETE FROM event WHERE entry IN (SELECT id FROM entry WHERE state = 0)",
    "DELETE FROM entry WHERE state = 0",
)
INSERT_EVENT: Final = "INSERT INTO event (entry, line) VALUES (?, ?)"
LAST_ID: Final = "SELECT max(last_id, coalesce((SELECT max(id) FROM entry), 0)) FROM purged"

# Its parameters: lane, whether of resends, until when, how many.
SELECT_DUE: Final = """
    SELECT due_ns, id FROM entry
    WHERE lane = ? AND (attempts > 0) = ? AND state = 2 AND due_ns <= ? ORDER BY due_ns, id LIMIT ?
"""
SELECT_ENTRIES: Final = """
    SELECT entry.id, entry.key, due_ns, attempts, cut_off, round, line FROM json_each(?) AS wanted
    JOIN entry ON entry.id = wanted.value JOIN event ON event.entry = entry.id ORDER BY due_ns, entry.id
"""
SELECT_WAITING: Final = """
    SELECT entry.id, key, due_ns, attempts, cut_off, round, line FROM entry JOIN event ON event.entry = entry.id
    WHERE lane = ? AND entry.id > ? AND state IN (1, 2) ORDER BY entry.id LIMIT ?
"""
HAS_BEHIND: Final = "SELECT EXISTS (SELECT 1 FROM entry WHERE lane = ? AND state = 1 AND id >= ?)"

# Rows of [id, attempts, due_ns, state, reason].
RECORD: Final = """
    UPDATE entry SET attempts = row.attempts, due_ns = row.due_ns, state = row.state, reason = row.reason
    FROM (
        SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS attempts,
            json_extract(value, '$[2]') AS due_ns, json_extract(value, '$[3]') AS state,
            json_extract(value, '$[4]') AS reason
        FROM json_each(?)
    ) AS row WHERE entry.id = row.id
"""
# Rows of [entry, round, number, started_at_ns, finished_at_ns, failure, status, detail].
INSERT_ATTEMPTS: Final = """
    INSERT INTO attempt (entry, round, number, started_at_ns, finished_at_ns, failure, status, detail)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
        json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
        json_extract(value, '$[6]'), json_extract(value, '$[7]') FROM json_each(?)
"""
# The entries of which an attempt was cut off, as an array; and what the lock file knew of one.
ADD_CUT_OFF: Final = "UPDATE entry SET cut_off = cut_off + 1 WHERE id IN (SELECT value FROM json_each(?))"
INSERT_CUT_OFF: Final = """
    INSERT INTO attempt (entry, round, number, started_at_ns, finished_at_ns, failure, status, detail)
    SELECT id, round, :number, :started_at_ns, :finished_at_ns, :failure, NULL, :detail
    FROM entry WHERE id = :entry_id AND round = :round AND attempts = :number - 1 AND state IN (1, 2)
"""
COUNT_CUT_OFF: Final = "UPDATE entry SET attempts = attempts + 1, cut_off = cut_off + 1 WHERE id = :entry_id"
# The keys whose first entry has ended, as an array.
ADVANCE: Final = """
    UPDATE entry SET state = 2 WHERE state = 1 AND id IN (
        SELECT (
            SELECT first.id FROM entry AS first
            WHERE first.lane = ?1 AND first.key = ended.value AND first.state < 10 AND first.key <> ''
            ORDER BY first.id LIMIT 1
        ) FROM json_each(?2) AS ended
    )
"""
# Moves every waiting entry of a lane to where it belongs: from first to behind, or the other way.
REARRANGE: Final = """
    UPDATE entry SET state = 3 - state
    WHERE lane = :lane AND state IN (1, 2) AND state <> CASE WHEN :ordered AND key <> '' AND EXISTS (
        SELECT 1 FROM entry AS earlier
        WHERE earlier.lane = :lane AND earlier.key = entry.key AND earlier.id < entry.id
            AND earlier.state < 10 AND earlier.key <> ''
    ) THEN 1 ELSE 2 END
"""

COUNT_STATES: Final = (
    "SELECT state, count(*) FROM entry WHERE lane = (SELECT id FROM lane WHERE notification = ? AND target_digest = ?) "
    "AND state > 0 GROUP BY state"
)
# Those that wait and were under way when their sender ended; its last parameter is that failure.
COUNT_LAST_CUT_OFF: Final = """
    SELECT count(*) FROM entry
    JOIN attempt ON attempt.entry = entry.id AND attempt.round = entry.round AND number = attempts
    WHERE lane = (SELECT id FROM lane WHERE notification = ? AND target_digest = ?)
        AND state IN (1, 2) AND cut_off > 0 AND failure = ?
"""
SELECT_LOG: Final = """
    SELECT number, started_at_ns, finished_at_ns, failure, status, detail, round FROM attempt
    WHERE entry = ? ORDER BY round, number
"""

# Counted from the log, which files of older versions have as well.
SELECT_LISTED: Final = """
    SELECT entry.id, key, due_ns, attempts, (
        SELECT count(*) FROM attempt
        WHERE attempt.entry = entry.id AND attempt.round = entry.round AND failure = 'cut off'
    ), round, line, state, reason, notification, target, (
        SELECT trim(failure || ' ' || coalesce(status, '')) FROM attempt
        WHERE entry = entry.id AND failure <> '' ORDER BY round DESC, number DESC LIMIT 1
    )
    FROM entry JOIN event ON event.entry = entry.id JOIN lane ON lane.id = lane
    WHERE entry.id < :before AND (:id IS NULL OR entry.id = :id) AND state BETWEEN :from_state AND :to_state
    ORDER BY entry.id DESC LIMIT :limit
"""
COUNT_ALL_STATES: Final = "SELECT state, count(*) FROM entry WHERE state > 0 GROUP BY state"
COUNT_WAITING_BY_LANE: Final = """
    SELECT notification, target, count(*) FROM entry JOIN lane ON lane.id = lane
    WHERE state IN (1, 2) GROUP BY notification, target ORDER BY count(*) DESC, notification, target
"""
RETRY: Final = """
    UPDATE entry SET state = 1, round = round + 1, attempts = 0, cut_off = 0, due_ns = :due_ns, reason = ''
    WHERE state IN (12, 13) AND (:id IS NULL OR id = :id)
"""
DROP: Final = "UPDATE entry SET state = 13, reason = :reason WHERE state IN (1, 2) AND (:id IS NULL OR id = :id)"
SELECT_LANES: Final = "SELECT id, ordered FROM lane"

_NAMES: Final[dict[int, State]] = {11: "delivered", 12: "given up", 13: "dropped"}


def state_name(state: int) -> State:
    """Return what people call a state."""
    return "waiting" if state < WAITING_BELOW else _NAMES[state]


def state_range(state: State | None) -> tuple[int, int]:
    """Return the first and last number of a state, or of all states."""
    if state is None:
        return BEHIND, DROPPED
    if state == "waiting":
        return BEHIND, WAITING_BELOW - 1
    (number,) = (number for number, name in _NAMES.items() if name == state)
    return number, number


def stored_entry(row: EntryRow) -> Entry:
    """Return the entry in a row of `SELECT_ENTRIES` or `SELECT_WAITING`."""
    entry_id, key, due_ns, attempts, cut_off, round_, line = row
    return Entry(id=entry_id, line=line, key=key, due_ns=due_ns, attempts=attempts, cut_off=cut_off, round=round_)


def stored_attempt(row: tuple[int, int, int, str, int | None, str, int]) -> LoggedAttempt:
    """Return the attempt in a row of `SELECT_LOG`."""
    number, started_at_ns, finished_at_ns, failure, status, detail, round_ = row
    return LoggedAttempt(
        number=number,
        started_at_ns=started_at_ns,
        finished_at_ns=None if finished_at_ns == NOBODY_SAW_IT else finished_at_ns,
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
