"""Download a collection of mammograms from the public archive

Fetches CBIS-DDSM or CMMD from the Imaging Data Commons, without an account: only what you choose, several files at
once. Each file is checked. It resumes where it stopped, and writes NBIA's folder names, the case CSVs and the licence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tfm.core.registry import Stage
from tfm.core.settings.base import (
    IMPORTANT,
    POSITIONAL,
    DatasetName,
    NoEffectUnless,
    OutputPath,
    Settings,
)

_WHOLE = NoEffectUnless("missing_from", None)  # these choices have no meaning for what an audit misses
_Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+")]


class Download(Settings):
    collection: Annotated[Literal["cbis-ddsm", "cmmd"], POSITIONAL, IMPORTANT] = "cbis-ddsm"
    """Which collection do you want: cbis-ddsm or cmmd?
    cbis-ddsm: scanned films with masks, 163.5 GB in all. cmmd: digital mammograms from China, 22.9 GB."""

    folder: Annotated[OutputPath, IMPORTANT] = Path("download")
    """Into which folder do you want to download?
    Each collection gets a folder of its own there. Files of an earlier download are checked and kept."""

    lesions: Annotated[
        Literal["mass", "calc", "both"], IMPORTANT, NoEffectUnless("collection", "cbis-ddsm"), _WHOLE
    ] = "both"
    """Which lesions do you want: masses, calcifications or both?"""

    splits: Annotated[
        Literal["train", "test", "both"], IMPORTANT, NoEffectUnless("collection", "cbis-ddsm"), _WHOLE
    ] = "both"
    """Which official splits do you want: train, test or both?"""

    masks: Annotated[bool, IMPORTANT, NoEffectUnless("collection", "cbis-ddsm"), _WHOLE] = True
    """Do you want the masks and crops of the lesions, too?
    They are needed to segment lesions, to train on crops and to score explanations."""

    limit: Annotated[Annotated[int, Field(ge=2)] | None, IMPORTANT, _WHOLE] = None
    """How many patients do you want, if not all?
    For a trial: half of them malignant, in the proportions of the splits, and always the same ones."""

    missing_from: DatasetName | None = None
    """Which dataset's missing series do you want, if only these?
    The audit of a dataset lists the series that were missing or damaged when it was organized."""

    endpoint: _Address = "https://s3.amazonaws.com"
    """Which server has the bucket of the archive?
    https://storage.googleapis.com has the same files. A mirror of your own works as well."""

    table_address: _Address = "https://www.cancerimagingarchive.net/wp-content/uploads"
    """At which address are the case CSVs?
    Files that are already in the folder are not fetched."""

    connections: Annotated[int, Field(ge=1, le=256)] = 8
    """How many files should be fetched at once?
    More are faster on a fast line; each file that is not complete when a download is killed is fetched again."""

    timeout: Annotated[int, Field(ge=1)] = 60
    """After how many seconds without a byte should the download stop?
    It can be resumed then."""


COMMAND = Stage(
    settings=Download,
    pipeline="tfm.pipelines.download:download",
    version=1,
    preview="tfm.pipelines.download:preview",
)
