"""The ledger: each update of an action once, through SQLAlchemy."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Dialect, Numeric, String, create_engine, event, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator, TypeEngine


class Money(TypeDecorator[Decimal]):
    """Decimals: NUMERIC where the database has it, and text in SQLite, which would make floats of them."""

    impl = Numeric(20, 4)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Decimal] | TypeEngine[str]:
        """Choose the column's type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(24))
        return dialect.type_descriptor(Numeric(20, 4))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> object:
        """Write a figure."""
        return str(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: object, dialect: Dialect) -> Decimal | None:
        """Read a figure."""
        _ = dialect
        return None if value is None else Decimal(str(value))


class Base(DeclarativeBase):
    """The tables of this program."""


class Update(Base):
    """What one postback told. Texts are kept as they came; the date has its offset."""

    __tablename__ = "updates"

    number: Mapped[int] = mapped_column(primary_key=True)
    """The order of arrival."""
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    """Unique, so that the database decides what is new, also when two come at once."""
    received_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    action_id: Mapped[str] = mapped_column(index=True)
    status: Mapped[str]
    payout: Mapped[Decimal] = mapped_column(Money)
    delta_payout: Mapped[Decimal] = mapped_column(Money)
    amount: Mapped[Decimal] = mapped_column(Money)
    delta_amount: Mapped[Decimal] = mapped_column(Money)
    currency: Mapped[str]
    event_date: Mapped[str]
    sub_id1: Mapped[str]
    campaign_name: Mapped[str]


class Ledger:
    """The updates in a database."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _make_durable)

    def create(self) -> None:
        """Make the tables; a program that grows has migrations instead."""
        Base.metadata.create_all(self._engine)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def record(self, values: Mapping[str, str | Decimal]) -> None:
        """Record an update, unless it is there already; on return it is on the disk."""
        # Everything tells one update from another. The id alone does not: all updates of an action share it.
        fingerprint = hashlib.sha256(json.dumps(dict(values), default=str, sort_keys=True).encode()).hexdigest()
        with Session(self._engine) as session:
            session.add(Update(fingerprint=fingerprint, **values))
            try:
                session.commit()
            except IntegrityError:
                session.rollback()
                if session.scalar(select(Update.number).where(Update.fingerprint == fingerprint)) is None:
                    raise

    def updates(self, action_id: str) -> Sequence[Update]:
        """Return the updates of an action in the order in which they arrived."""
        with Session(self._engine) as session:
            return session.scalars(select(Update).where(Update.action_id == action_id).order_by(Update.number)).all()


def _make_durable(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # In WAL mode SQLite would else answer before a record is on the disk.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()
