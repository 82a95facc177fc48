"""The dataset of a report, if it is still as the runs used it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfm.analysis.trained_run import Protocol
from tfm.core import files
from tfm.core.errors import TFMError
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import AUDIT, LESIONS, Dataset


@dataclass(frozen=True)
class OpenedDataset:
    dataset: Dataset
    audit: dict[str, Any]

    @property
    def name(self) -> str:
        return self.dataset.folder.name

    @property
    def split_hash(self) -> str:
        return self.dataset.split_hash

    @property
    def has_lesion_table(self) -> bool:
        """Whether it says which images its tables name, and why some were left out."""
        return "findings" in self.audit and (self.dataset.folder / LESIONS).is_file()


def open_dataset(workspace: Workspace, protocol: Protocol) -> OpenedDataset | str:
    """Open the dataset of a protocol, or say why that is impossible."""
    folder = workspace.dataset_folder(protocol.dataset)
    try:
        dataset = Dataset.open(folder)
        audit = files.read_json(folder / AUDIT)
    except (TFMError, OSError, ValueError):
        return f"the dataset {protocol.dataset} was deleted or is damaged"
    if dataset.content_hash != protocol.dataset_hash:
        return f"the dataset {protocol.dataset} was changed since the models were trained"
    return OpenedDataset(dataset, audit)
