"""Organize a download into train/val/test × benign/malignant

Reads the CSVs and every header in the download, joins them, keeps each patient in one split, and writes an audit of
everything that was missing, broken or repaired. Patients with an identical image count as one patient. The download
itself is never changed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfm.core.registry import Stage
from tfm.core.settings.base import IMPORTANT, POSITIONAL, InputPath, NoEffectUnless, ProductName, Settings
from tfm.data.settings import OnBadImage

_CBIS_DDSM = NoEffectUnless("collection", "auto", "cbis-ddsm")


class Organize(Settings):
    download: Annotated[list[InputPath], POSITIONAL, Field(min_length=1)]
    """Which folder contains the download, or your own images?
    What download or NBIA Data Retriever wrote, a mirror or Kaggle's copy of it, another collection with its tables, or
    your own images: a CSV of file, patient_id and label, or folders benign and malignant. Several folders count as one.
    A text file is read as a list, one path a line."""

    csv: tuple[InputPath, ...] = ()
    """Where are the case CSVs, if not in the download?
    Files or folders, separated by commas."""

    collection: Annotated[Literal["auto", "cbis-ddsm", "cmmd", "inbreast", "vindr-mammo", "mias", "own"], IMPORTANT] = (
        "auto"
    )
    """Which collection is it?
    auto: recognised by its tables and file names. own: your own images, listed in a CSV (file, patient_id, label) or
    sorted into folders benign and malignant."""

    patient_from: Annotated[str, IMPORTANT, NoEffectUnless("collection", "auto", "own")] = ""
    """How do your file names or headers name the patient?
    A pattern such as {patient}_{side}_{view}, in which {any} stands for other text, or the word header for the
    PatientID of DICOM files. Empty: the CSV has a column patient_id."""

    verified_by: Annotated[
        Literal["unknown", "biopsy", "BI-RADS", "follow-up"], NoEffectUnless("collection", "auto", "own")
    ] = "unknown"
    """How were the labels of your own images verified?
    Every figure states it."""

    without_finding: Annotated[Literal["benign", "left out"], NoEffectUnless("collection", "auto", "mias")] = "benign"
    """How should normal mammograms of MIAS be labelled: benign or left out?"""

    name: Annotated[ProductName, IMPORTANT] = "cbis-ddsm"
    """What do you want to call the dataset?
    Without a name, it is called as its collection."""

    lesions: Annotated[Literal["mass", "calc", "both"], IMPORTANT, _CBIS_DDSM] = "both"
    """Which lesions do you want: masses, calcifications or both?
    With both, patients who are in the training files of one kind and in the test files of the other are used for
    testing only."""

    images: Annotated[Literal["full", "crops"], IMPORTANT, _CBIS_DDSM] = "full"
    """What should one image be: full or crops?
    full: a whole mammogram, malignant if any of its lesions is. crops: one crop per lesion, without a mask, because
    its position in the mammogram is not recorded."""

    split: Annotated[Literal["official", "random", "kfold"], IMPORTANT] = "official"
    """Which split do you want: official, random or kfold?
    official: TCIA's test set is used for testing only. random: 70/15/15 by patient, for a download without official
    test rows. kfold: five folds of the training patients, the first for validation; TCIA's test set is used for
    testing only."""

    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Which share of the patients should be for validation?
    official: of the patients outside TCIA's test set; random: of all patients. With kfold each fold has one fifth."""

    without_callback: Annotated[Literal["benign", "left out"], _CBIS_DDSM] = "benign"
    """How should BENIGN_WITHOUT_CALLBACK be labelled: benign or left out?
    These findings were so clearly benign that the patient was not called back."""

    link: Literal["hard", "symlink", "copy", "png"] = "hard"
    """How should the images be placed in the dataset: hard, symlink, copy or png?
    Hard links take no space. If the disk does not support links, files are copied, and the audit reports it. png:
    the same pixels as lossless 16-bit files, for programs that don't read DICOM."""

    on_bad_image: OnBadImage = "leave out"
    """What should happen to files that cannot be used: leave out or stop?
    leave out: the audit lists them with the reason. stop: nothing is organized until they are repaired."""

    split_seed: int = 0
    """Seed of the random splits"""


COMMAND = Stage(
    settings=Organize,
    pipeline="tfm.pipelines.organize:organize",
    version=5,
    inspect="tfm.pipelines.organize:inspect_download",
    inspected=("collection", "patient_from"),
    preview="tfm.pipelines.organize:preview",
    extra_inputs="tfm.pipelines.organize_inputs:list_extra_inputs",
)
