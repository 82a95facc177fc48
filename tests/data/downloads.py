"""Read and organize a download on disk in one call."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tests.returned import returned
from tfm.data.dataset.dataset_plan import DatasetPlan, plan_dataset
from tfm.data.dataset.source_images import DatasetSettings
from tfm.data.dataset.writer import organize_dataset
from tfm.data.download import read_download
from tfm.data.download.find_files import Tables
from tfm.data.download.match_files import Catalog
from tfm.data.sources import cbis_ddsm
from tfm.data.sources.cbis_ddsm_images import CbisChoices, build_cbis_images

Writing = Iterator[tuple[int, int]]
KINDS = ("mass", "calc")


def read_all(*given: Path, index: Path, csvs: tuple[Path, ...] = ()) -> read_download.DownloadContents:
    return returned(read_download.read_download(given, csvs, index))


def read_catalog(*given: Path, index: Path, kinds: tuple[str, ...] = KINDS) -> Catalog:
    return read_download.build_catalog(read_all(*given, index=index), kinds)


def read_cases_below(folder: Path) -> pd.DataFrame:
    return cbis_ddsm.read_cases(cbis_ddsm.find_case_files(list_tables_below(folder)))


def parse_manifest(text: str) -> list[str]:
    """The series that a .tcia manifest requests, in its order."""
    return text.partition("ListOfSeriesToDownload=")[2].split()


def list_tables_below(folder: Path) -> Tables:
    return Tables((), tuple(folder.rglob("*.csv")), ())


def plan_catalog(
    catalog: Catalog,
    *,
    images: Literal["full", "crops"] = "full",
    without_callback: Literal["benign", "left out"] = "benign",
    **other: Any,
) -> DatasetPlan:
    usual = {"split": "official", "val_share": 0.15, "seed": 7, "as_png": False}
    source = build_cbis_images(catalog, CbisChoices(images, without_callback))
    return plan_dataset(source, DatasetSettings(**(usual | other)))


def write_dataset(folder: Path, plan: DatasetPlan, *downloads: Path, **other: Any) -> Writing:
    return organize_dataset(folder, plan, downloads=downloads, **({"link": "hard", "version": 1} | other))
