"""The database of a study: anything that Optuna supports. No address here ever contains a password."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from tfm.core.errors import DiskError, TrainingError

_TRIES = 3  # if two workers create the tables at the same time, one of them fails
_CONNECT_SECONDS = 10
_LOCK_SECONDS = 60  # to wait for another writer of an SQLite file

_DISK_ERRORS = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")
_FILE_HINT = (
    "check that the folder exists, that you may write there and that the disk has room; then start the study again: "
    "it resumes"
)
_SERVER_HINT = (
    "check that the server runs and accepts your login; then start the study again. A password is never stored with "
    "the address: set PGPASSWORD or use ~/.pgpass"
)


def open_storage(address: str) -> RDBStorage:
    with report_database_errors(address):
        url, options = make_url(address), {}
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername="postgresql+psycopg")  # the driver that the hint below names
        match url.get_backend_name():
            case "sqlite":
                options = {"timeout": _LOCK_SECONDS}
            case "postgresql":
                options = {"connect_timeout": _CONNECT_SECONDS}
        for tries_left in reversed(range(_TRIES)):
            try:
                return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs={"connect_args": options})
            except ImportError:
                raise TrainingError(
                    f"the storage {address} needs a driver that is not installed",
                    hint='python -m pip install "psycopg[binary]"'
                    if address.startswith("postgres")
                    else "install the database's driver with pip",
                ) from None
            except SQLAlchemyError as error:
                is_race = isinstance(error, IntegrityError) or "already exists" in str(error)
                if not tries_left or not is_race:
                    raise
                time.sleep(1)
    raise AssertionError("the last try returns or raises")


@contextlib.contextmanager
def hold_storage(address: str) -> Iterator[RDBStorage]:
    """Open a storage, and close its connections at the end."""
    storage = open_storage(address)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextlib.contextmanager
def report_database_errors(address: str) -> Iterator[None]:
    """Turn the errors of the database, at any time, into errors of the program."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause: Any = error.__cause__ if isinstance(error, StorageInternalError) else error
        message = str(getattr(cause, "orig", None) or cause).strip().split("\n", 1)[0]
        is_file = address.startswith("sqlite")
        is_of_disk = str(getattr(getattr(cause, "orig", None), "sqlite_errorname", "")).startswith(_DISK_ERRORS)
        raise (DiskError if is_of_disk else TrainingError)(
            f"the storage {address} cannot be {'used' if is_file else 'reached'}: {message}",
            hint=_FILE_HINT if is_file else _SERVER_HINT,
        ) from error
