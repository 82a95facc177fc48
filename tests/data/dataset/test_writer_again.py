"""A dataset that stands is never replaced by another one in silence; one whose download has grown is made anew."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from tests.data.downloads import make_settings, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core.errors import SettingsError
from tfm.data.dataset.dataset_plan import DatasetPlan, plan_dataset
from tfm.data.dataset.writer import refuse_replacing
from tfm.data.download.catalog import Catalog


@dataclass(frozen=True)
class Standing:
    folder: Path
    catalog: Catalog

    def arranged(self, catalog: Catalog | None = None, seed: int = 0) -> DatasetPlan:
        return plan_dataset(catalog or self.catalog, make_settings(val_share=0.25, seed=seed))


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Standing:
    home = tmp_path_factory.mktemp("again")
    phantom_download(home / "download", 10, 6, seed=1)
    made = Standing(home / "dataset", read_catalog(home / "download", index=home / "headers.sqlite"))
    list(write_dataset(made.folder, made.catalog, made.arranged(), home / "download"))
    return made


def without_women(catalog: Catalog, count: int) -> Catalog:
    women = sorted(catalog.lesions["patient_id"].unique())[:count]
    kept: pd.DataFrame = catalog.lesions[~catalog.lesions["patient_id"].isin(women)]
    return replace(catalog, lesions=kept.reset_index(drop=True))


def test_the_same_again_is_welcome(standing: Standing) -> None:
    refuse_replacing(standing.folder, standing.catalog, standing.arranged())


def test_other_settings_need_a_name_of_their_own(standing: Standing) -> None:
    with pytest.raises(SettingsError, match="already") as caught:
        refuse_replacing(standing.folder, standing.catalog, standing.arranged(seed=1))
    assert "setting: name=" in caught.value.hint


def test_patients_never_replace_phantoms(standing: Standing) -> None:
    real = replace(standing.catalog, synthetic=False)
    with pytest.raises(SettingsError, match="other data"):
        refuse_replacing(standing.folder, real, standing.arranged(real))


def test_a_download_that_lacks_images_of_the_standing_dataset_does_not_replace_it(standing: Standing) -> None:
    fewer = without_women(standing.catalog, 1)
    with pytest.raises(SettingsError, match="other data"):
        refuse_replacing(standing.folder, fewer, standing.arranged(fewer))


def test_a_download_that_has_grown_since_does(standing: Standing, tmp_path: Path) -> None:
    fewer = without_women(standing.catalog, 2)
    early = standing.arranged(fewer)
    list(write_dataset(tmp_path / "early", fewer, early, tmp_path / "download"))
    refuse_replacing(tmp_path / "early", standing.catalog, standing.arranged())
