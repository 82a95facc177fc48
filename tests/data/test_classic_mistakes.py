"""What public programs get wrong, put back in on purpose: the audit must fail each time, before anything is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.data.intake import catalog_of, choices, written
from tests.data.phantoms import phantom_download
from tfm.core.errors import DataError
from tfm.core.randomness import seed_at
from tfm.data.dataset import dataset_plan, image_table, split
from tfm.data.download import catalog
from tfm.data.download.headers import Header


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("download")
    phantom_download(folder, 16, 6, planted="all", seed=3)
    return folder


def organize(phantoms: Path, tmp_path: Path, **other: Any) -> None:
    found = catalog_of(phantoms, index=tmp_path / "headers.sqlite")
    arranged = dataset_plan.arrange(found, choices(**other))
    list(written(tmp_path / "dataset", found, arranged, phantoms))


def split_by_patient_id(table: pd.DataFrame, *, present: pd.Series, val_share: float, seed: int) -> pd.Series:
    """TCIA's PatientID names a view: dealing by it puts the two views of a breast into two splits."""
    places = table["image_id"].map(lambda name: seed_at(seed, name) % 20)
    return places.map(lambda place: "test" if place < 3 else "val" if place < 6 else "train")


def keep_train_images_of_test_women(table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Mass and calc merged without a look at who is in both."""
    sealed = table["official"] == "test"
    return sealed, ~sealed


def label_of_the_first_row(lesions: list[image_table.Lesion]) -> str:
    return "malignant" if lesions[0]["pathology"] == "MALIGNANT" else "benign"


def masks_by_file_name(file: Header, image: Header | None) -> str:
    """1-2.dcm is the mask, as the CSVs and most programs have it."""
    return "mask" if file.path.endswith(("1-2.dcm", "000001.dcm")) else "crop"


def masks_by_the_order_of_the_csv(file: Header, image: Header | None) -> str:
    return "crop" if file.bits == 8 else "mask"


def drop_what_is_odd(lesions: pd.DataFrame) -> Any:
    """Rows that do not fit are dropped, and nobody is told."""
    table, found = UNITE(lesions)
    return table[table["kind"] != "mass+calc"].reset_index(drop=True), found


UNITE = image_table.unite
MISTAKES = {
    "split by PatientID": (split, "random", split_by_patient_id, "not so: no woman is in two"),
    "train images of test women": (
        split,
        "_sealed_and_free",
        keep_train_images_of_test_women,
        "not so: no woman is in two",
    ),
    "first-row label": (image_table, "_label", label_of_the_first_row, "not so: an image is malignant exactly if"),
    "name-based masks": (catalog, "_role", masks_by_file_name, "not so: a mask has two grey values"),
    "column-based masks": (catalog, "_role", masks_by_the_order_of_the_csv, "not so: a mask has two grey values"),
    "rows dropped in silence": (dataset_plan, "unite", drop_what_is_odd, "not so: every image of the CSVs is in"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_audit_fails_and_nothing_is_written(
    mistake: str, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, wrong, words = MISTAKES[mistake]
    wrongly: Callable[..., Any] = wrong
    monkeypatch.setattr(module, name, wrongly)
    with pytest.raises(DataError, match=words):
        organize(phantoms, tmp_path, split="random" if name == "random" else "official")
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize("split", ["official", "random"])
def test_without_them_it_holds(split: str, phantoms: Path, tmp_path: Path) -> None:
    organize(phantoms, tmp_path, split=split)
    assert (tmp_path / "dataset" / "manifest.csv").is_file()
