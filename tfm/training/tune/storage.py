"""Where a study is written down: any database that Optuna can write. No address here ever holds a password."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import URL, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from tfm.core.errors import TrainingError

_TRIES = 3  # where two workers make the tables in the same instant, one finds that some exist already
_SECONDS_TO_CONNECT = 10
_SECONDS_FOR_ANOTHER = 60  # that an SQLite file waits for whoever is writing it

_IN_A_FILE = (
    "see that there is room on its disk, that its folder stands and that you may write there, then start the same "
    "thing again: it goes on where it stopped"
)
_ON_A_SERVER = (
    "see that its server runs and lets you in, then start the same thing again; a password is never kept with the "
    "address: give it in PGPASSWORD or ~/.pgpass"
)


def open_storage(address: str) -> RDBStorage:
    with report_database_errors(address), _driver_told(address):
        url = _with_driver(make_url(address))
        for tries_left in reversed(range(_TRIES)):
            try:
                return RDBStorage(
                    url.render_as_string(hide_password=False), engine_kwargs={"connect_args": _connecting(url)}
                )
            except SQLAlchemyError as error:
                made_meanwhile = isinstance(error, IntegrityError) or "already exists" in str(error)
                if not tries_left or not made_meanwhile:
                    raise
                time.sleep(1)
    raise AssertionError("the last try returns or raises")


def _with_driver(url: URL) -> URL:
    """Of PostgreSQL's drivers the one that the message below says to install."""
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _connecting(url: URL) -> dict[str, Any]:
    match url.get_backend_name():
        case "sqlite":
            return {"timeout": _SECONDS_FOR_ANOTHER}
        case "postgresql":
            return {"connect_timeout": _SECONDS_TO_CONNECT}
    return {}


@contextlib.contextmanager
def _driver_told(address: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        driver = "psycopg[binary]" if address.startswith("postgres") else "the driver of that database"
        raise TrainingError(
            f"the storage {address} needs a driver that is not installed",
            hint=f'python -m pip install "{driver}"' if "[" in driver else f"install {driver} with pip",
        ) from None


@contextlib.contextmanager
def report_database_errors(address: str) -> Iterator[None]:
    """What a database complains of, in words: at opening, and whenever a trial is asked or told."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause: Any = error.__cause__ if isinstance(error, StorageInternalError) else error
        words = str(getattr(cause, "orig", None) or cause).strip().split("\n", 1)[0]
        raise TrainingError(
            f"the storage {address} cannot be {'used' if address.startswith('sqlite') else 'reached'}: {words}",
            hint=_IN_A_FILE if address.startswith("sqlite") else _ON_A_SERVER,
        ) from error
