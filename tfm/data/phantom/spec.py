"""What is to be drawn and written, as plain values: a lesion, a mammogram, a download.
Who has what is decided in `cohort` and `traps`; pixels come from `film`, files from `download`."""

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
    number: int  # of this breast: the same lesion has the same number, hence the same shape, in both views
    kind: Kind
    malignant: bool  # as drawn; what the CSV says is the Finding's


@dataclass(frozen=True)
class Exposure:
    """Everything the pixels of one mammogram depend on."""

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
    """A row of a case CSV, with the series of crop and mask behind it."""

    abnormality: int
    lesion: int  # index into the exposure's lesions
    pathology: str
    mask_first: bool = False  # the mask is the first file of the series, the crop the second
    mask_scale: float = 1.0  # the mask's size in shares of its mammogram's
    mask_empty: bool = False  # no pixel of it is set
    mask_unreadable: bool = False  # its file is no DICOM and no JPEG
    absent: bool = False  # listed, but not on the disk
    separate: bool = False  # crop and mask lie in series of their own
    swapped: bool = False  # the CSV's columns of crop and mask are exchanged
    odd_values: tuple[Fact, ...] = ()  # written 0, or N/A where a word is wanted


@dataclass(frozen=True)
class Mammogram:
    """A full mammogram as issued in one of the four case CSVs."""

    kind: Kind
    split: Split
    exposure: Exposure
    findings: tuple[Finding, ...]
    absent: bool = False  # its own series is listed, but not on the disk
    truncated: bool = False  # its own file is cut in half
    twice_on_disk: bool = False  # its own series, in two folders
    no_laterality: bool = False  # the headers of all its files tell neither side nor view

    @property
    def subject(self) -> str:
        """TCIA's PatientID, which names a view of a breast and not the woman."""
        kind = {"mass": "Mass", "calc": "Calc"}[self.kind]
        split = {"train": "Training", "test": "Test"}[self.split]
        return f"{kind}-{split}_{self.exposure.patient}_{self.exposure.side}_{self.exposure.view}"

    def lesion_subject(self, finding: Finding) -> str:
        return f"{self.subject}_{finding.abnormality}"


@dataclass(frozen=True)
class CsvForm:
    linefeed_in_paths: bool = False
    density_with_space: bool = False  # `breast density` in the calc files
    names_of_old: bool = False  # 000000.dcm and 000001.dcm


@dataclass(frozen=True)
class DownloadPlan:
    recipe: Mapping[str, object]  # the arguments the plan was made from: they make two downloads one or two
    mammograms: tuple[Mammogram, ...]
    layout: LayoutName = "nbia"
    csv: CsvForm = CsvForm()
