"""The making of one row of a cache: a film through the chain, and into the arrays. What a worker process imports.
Which rows there are to make is known in caching."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfm.core.errors import TFMError
from tfm.data.cache.arrays import ArrayFiles, Form, Row
from tfm.imaging.chain import PreparedImage, preprocess_image
from tfm.imaging.settings import ChainSettings

Check = Callable[[np.ndarray], None]  # of a film as it was read; a DataError where it is none to be made of


@dataclass(frozen=True)
class Task:
    number: int  # of the row
    film: Path
    mask: Path | None


@dataclass(frozen=True)
class Made:
    record: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """One image that cannot be made; the others can."""

    message: str
    hint: str
    defect: str = ""  # the traceback, where the program is to blame
    by_itself: bool = True  # False: another try may go well


# Prepared is an image without arrays to take it: none are there yet, or it is of another form than theirs.
# OSError: the disk refused the row, and will refuse others.
Answer = Made | Failed | PreparedImage | OSError


def film_of(task: Task, chain: ChainSettings, check: Check | None) -> PreparedImage | Failed:
    try:
        return preprocess_image(task.film, task.mask, chain, check)
    except TFMError as error:
        return Failed(error.message, error.hint)
    except Exception as error:  # one film on which a step stumbles must not cost the others
        said = f"{task.film}: {type(error).__name__}: {error}"
        return Failed(said, "this is a defect of the program: the list has its traceback", traceback.format_exc())


def row_of(film: PreparedImage) -> Row:
    return {"images": film.image, "breast": film.breast, "lesions": film.lesions}


class RowMaker:
    """Makes a row and writes it at its place; sent to a worker, it opens the files there."""

    def __init__(self, folder: Path, chain: ChainSettings, check: Check | None = None) -> None:
        self.folder = folder
        self.chain = chain
        self.check = check
        self._arrays: ArrayFiles | None = None

    def close(self) -> None:
        if self._arrays is not None:
            self._arrays.close()

    def __call__(self, task: Task) -> Answer:
        film = film_of(task, self.chain, self.check)
        if isinstance(film, Failed):
            return film
        try:
            self._arrays = self._arrays or ArrayFiles(self.folder)
            if Form.of(film.image) != self._arrays.form:
                return film
            self._arrays.write(task.number, row_of(film))
        except FileNotFoundError:
            return film
        except OSError as error:
            return error
        return Made(film.record)
