"""A toy stage that needs a dataset. Its inspection always fails."""

from collections.abc import Iterator, Mapping
from typing import Any

from tfm.core.errors import DataError
from tfm.core.events import Event, Result
from tfm.core.registry import InspectionResult, Stage
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import DatasetName, Settings


class Reader(Settings):
    dataset: DatasetName
    """Which dataset?"""


def inspect_dataset(given: Mapping[str, Any], workspace: Workspace) -> Iterator[Event | InspectionResult]:
    raise DataError(f"dataset {given['dataset']} is not whole", hint="organize it again")
    yield InspectionResult()


def reader(settings: Reader, run: Run) -> Iterator[Event]:
    yield Result({})


COMMAND = Stage(
    settings=Reader,
    pipeline="tests.toys.look_at_dataset:reader",
    version=1,
    inspect="tests.toys.look_at_dataset:inspect_dataset",
)
