"""A dataset is never replaced by another one; one whose download has grown is made again."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from tests.data.downloads import plan_catalog, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core.errors import SettingsError
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.dataset.writer import refuse_replacing
from tfm.data.download.match_files import Catalog


@dataclass(frozen=True)
class Standing:
    folder: Path
    catalog: Catalog

    def plan(self, catalog: Catalog | None = None, seed: int = 0) -> DatasetPlan:
        return plan_catalog(catalog or self.catalog, val_share=0.25, seed=seed)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Standing:
    home = tmp_path_factory.mktemp("again")
    phantom_download(home / "download", 10, 6, seed=1)
    made = Standing(home / "dataset", read_catalog(home / "download", index=home / "headers.sqlite"))
    list(write_dataset(made.folder, made.plan(), home / "download"))
    return made


def without_patients(catalog: Catalog, count: int) -> Catalog:
    patients = sorted(catalog.lesions["patient_id"].unique())[:count]
    kept: pd.DataFrame = catalog.lesions[~catalog.lesions["patient_id"].isin(patients)]
    return replace(catalog, lesions=kept.reset_index(drop=True))


def test_the_same_dataset_can_be_organized_again(standing: Standing) -> None:
    refuse_replacing(standing.folder, standing.plan())


def test_other_settings_need_another_name(standing: Standing) -> None:
    with pytest.raises(SettingsError, match="already") as caught:
        refuse_replacing(standing.folder, standing.plan(seed=1))
    assert "setting: name=" in caught.value.hint


def test_real_images_never_replace_phantoms(standing: Standing) -> None:
    real = replace(standing.catalog, synthetic=False)
    with pytest.raises(SettingsError, match="other data"):
        refuse_replacing(standing.folder, standing.plan(real))


def test_a_download_without_some_of_the_images_does_not_replace_the_dataset(standing: Standing) -> None:
    fewer = without_patients(standing.catalog, 1)
    with pytest.raises(SettingsError, match="other data"):
        refuse_replacing(standing.folder, standing.plan(fewer))


def test_a_download_that_has_grown_replaces_the_dataset(standing: Standing, tmp_path: Path) -> None:
    fewer = without_patients(standing.catalog, 2)
    early = standing.plan(fewer)
    list(write_dataset(tmp_path / "early", early, tmp_path / "download"))
    refuse_replacing(tmp_path / "early", standing.plan())
