"""The ledger: each update of an action once, in SQLite."""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from pathlib import Path

SCHEMA = """
    CREATE TABLE IF NOT EXISTS updates (
        number INTEGER PRIMARY KEY,        -- the order of arrival
        fingerprint TEXT NOT NULL UNIQUE,  -- so that the database decides what is new, also when two come at once
        received_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
        action_id TEXT NOT NULL,
        status TEXT NOT NULL,
        payout TEXT NOT NULL,              -- money as text: SQLite has no decimals, and a float is no money
        delta_payout TEXT NOT NULL,
        amount TEXT NOT NULL,
        delta_amount TEXT NOT NULL,
        currency TEXT NOT NULL,
        event_date TEXT NOT NULL,
        sub_id1 TEXT NOT NULL,
        campaign_name TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS updates_of_an_action ON updates (action_id);
"""


@dataclass(frozen=True, kw_only=True)
class Update:
    """What one postback tells. Texts are kept as they came; the date has its offset."""

    action_id: str
    status: str
    payout: Decimal
    delta_payout: Decimal
    amount: Decimal
    delta_amount: Decimal
    currency: str
    event_date: str
    sub_id1: str
    campaign_name: str

    @property
    def fingerprint(self) -> str:
        """What tells this update from others: everything. All updates of an action share its id."""
        return hashlib.sha256(json.dumps(asdict(self), default=str).encode()).hexdigest()


NAMES = tuple(field.name for field in fields(Update))
MONEY = ("payout", "delta_payout", "amount", "delta_amount")


def update_of_texts(texts: Mapping[str, str]) -> Update:
    """Return the update that such texts tell; its figures have to be decimals."""
    return Update(
        action_id=texts["action_id"],
        status=texts["status"],
        payout=Decimal(texts["payout"]),
        delta_payout=Decimal(texts["delta_payout"]),
        amount=Decimal(texts["amount"]),
        delta_amount=Decimal(texts["delta_amount"]),
        currency=texts["currency"],
        event_date=texts["event_date"],
        sub_id1=texts["sub_id1"],
        campaign_name=texts["campaign_name"],
    )


_INSERT = """
    INSERT INTO updates (
        fingerprint, action_id, status, payout, delta_payout, amount, delta_amount,
        currency, event_date, sub_id1, campaign_name
    ) VALUES (
        :fingerprint, :action_id, :status, :payout, :delta_payout, :amount, :delta_amount,
        :currency, :event_date, :sub_id1, :campaign_name
    ) ON CONFLICT (fingerprint) DO NOTHING
"""


class Ledger:
    """The updates in a file. One connection, one thread at a time: SQLite has one writer anyway."""

    def __init__(self, path: str | Path) -> None:
        self._turn = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=5, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        # In WAL mode SQLite would else answer before a record is on the disk.
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def record(self, update: Update) -> None:
        """Record an update, unless it is there already; on return it is on the disk."""
        values = {name: str(getattr(update, name)) for name in NAMES}
        with self._turn, self._connection:
            self._connection.execute(_INSERT, {"fingerprint": update.fingerprint, **values})

    def updates(self, action_id: str) -> list[Update]:
        """Return the updates of an action in the order in which they arrived."""
        with self._turn:
            rows = self._connection.execute(
                "SELECT * FROM updates WHERE action_id = ? ORDER BY number", (action_id,)
            ).fetchall()
        return [update_of_texts(dict(row)) for row in rows]
