"""The plan of a phantom download as plain values: lesions, mammograms, the form of the CSVs.
Plans are made in cohort and changed by traps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["mass", "calc"]
Split = Literal["train", "test"]
Side = Literal["LEFT", "RIGHT"]
View = Literal["CC", "MLO"]
LayoutName = Literal["nbia", "nbia-2020", "nbia-2019", "classic", "mirror", "kaggle"]
Fact = Literal["density", "assessment", "subtlety", "shape", "surround"]  # surround: margins or distribution

KINDS: tuple[Kind, ...] = ("mass", "calc")
VIEWS: tuple[View, ...] = ("CC", "MLO")


@dataclass(frozen=True)
class Lesion:
    number: int  # in the breast; a lesion has the same number, and so the same shape, in both views
    kind: Kind
    malignant: bool  # as drawn; the pathology in the CSV belongs to the Finding


@dataclass(frozen=True)
class Exposure:
    """Everything that determines the pixels of a mammogram. Its repr is part of the UIDs."""

    seed: int
    patient: str
    side: Side
    view: View
    density: int
    height: int
    difficulty: float
    lesions: tuple[Lesion, ...]


@dataclass(frozen=True)
class Finding:
    """A row of a case CSV, and the state of its crop and mask."""

    abnormality: int
    lesion: int  # index into the exposure's lesions
    pathology: str
    mask_first: bool = False  # the mask is the first file of the series, the crop the second
    mask_scale: float = 1.0  # height and width as a fraction of the mammogram's
    mask_empty: bool = False  # has no pixel set
    mask_unreadable: bool = False  # the file is not an image
    absent: bool = False  # listed, but not on disk
    separate: bool = False  # crop and mask are in separate series
    swapped: bool = False  # the columns of crop and mask are swapped in the CSV
    odd_values: tuple[Fact, ...] = ()  # written as 0 or N/A


@dataclass(frozen=True)
class Mammogram:
    """A full mammogram in one of the four case CSVs."""

    kind: Kind
    split: Split
    exposure: Exposure
    findings: tuple[Finding, ...]
    absent: bool = False  # the series of the mammogram is listed, but not on disk
    truncated: bool = False  # the file of the mammogram is cut in half
    twice_on_disk: bool = False  # the series of the mammogram is in two folders
    no_laterality: bool = False  # the headers have neither side nor view

    @property
    def subject(self) -> str:
        """TCIA's PatientID, which names a view of a breast, not a patient."""
        kind = {"mass": "Mass", "calc": "Calc"}[self.kind]
        split = {"train": "Training", "test": "Test"}[self.split]
        return f"{kind}-{split}_{self.exposure.patient}_{self.exposure.side}_{self.exposure.view}"

    def format_lesion_subject(self, finding: Finding) -> str:
        return f"{self.subject}_{finding.abnormality}"


@dataclass(frozen=True)
class CsvForm:
    linefeed_in_paths: bool = False  # inside a quoted path of each row (mass: ROI mask, calcification: cropped image)
    density_with_space: bool = False  # `breast density` in the calc files
    names_of_2017: bool = False  # 000000.dcm and 000001.dcm: they confuse mask and crop, and most layouts lack them


@dataclass(frozen=True)
class DownloadPlan:
    recipe: Mapping[str, object]  # the arguments of the plan; downloads with equal recipes are equal
    mammograms: tuple[Mammogram, ...]
    layout: LayoutName = "nbia"
    csv: CsvForm = CsvForm()
