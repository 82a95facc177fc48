"""How files come to stand: as 16-bit PNG, on a disk that is too small, and what cannot be made of them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from tests.data.downloads import plan_catalog, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core import machine
from tfm.core.errors import DiskError
from tfm.core.files import read_json
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.link_files import LinkMode
from tfm.data.download.match_files import Catalog


@pytest.fixture
def phantoms(tmp_path: Path) -> Path:
    phantom_download(tmp_path / "download", 8, 4)
    return tmp_path / "download"


@pytest.fixture
def organized(phantoms: Path, tmp_path: Path) -> Callable[..., Dataset]:
    def organize(link: LinkMode = "png", images: str = "full", folder: str = "dataset", stop: int = 0) -> Dataset:
        found: Catalog = read_catalog(phantoms, index=tmp_path / "headers.sqlite")
        plan = plan_catalog(found, as_png=link == "png", images=images)
        for done, _ in write_dataset(tmp_path / folder, plan, phantoms, link=link):
            if done == stop:
                break
        else:
            return Dataset.open(tmp_path / folder)
        return Dataset(tmp_path / folder, plan.manifest, "", "", "", synthetic=True)

    return organize


def test_png_holds_the_same_16_bit_pixels(organized: Callable[..., Dataset]) -> None:
    linked, decoded = organized("hard", folder="linked"), organized("png")
    assert decoded.manifest["file"].str.endswith(".png").all()
    for one, other in zip(linked.manifest["file"], decoded.manifest["file"], strict=True):
        pixels = cv2.imread(str(decoded.path(other)), cv2.IMREAD_UNCHANGED)
        assert pixels.dtype == np.uint16
        assert np.array_equal(pixels, pydicom.dcmread(linked.path(one)).pixel_array)
    assert linked.split_hash == decoded.split_hash
    assert read_json(decoded.folder / "audit.json")["files"] == {"png": len(decoded.manifest)}


def test_stopped_decoding_resumes_and_ends_the_same(organized: Callable[..., Dataset]) -> None:
    whole = organized(folder="whole")
    stopped = organized(stop=7)
    made = {path: path.stat().st_ino for path in stopped.folder.rglob("*.png")}
    assert 0 < len(made) < len(list(whole.folder.rglob("*.png")))
    organized()
    assert all(path.stat().st_ino == inode for path, inode in made.items())
    for path in whole.folder.rglob("*.*"):
        assert (stopped.folder / path.relative_to(whole.folder)).read_bytes() == path.read_bytes(), path


def test_an_image_that_cannot_be_decoded_is_left_out_and_moves_no_patient(
    organized: Callable[..., Dataset], phantoms: Path
) -> None:
    before = organized("hard", folder="before").manifest.set_index("image_id")
    victim = next(path for path in sorted(phantoms.rglob("*.dcm")) if "full mammogram" in str(path))
    broken = pydicom.dcmread(victim)
    broken.PhotometricInterpretation = "PALETTE COLOR"
    broken.save_as(victim)
    after = organized("png", folder="after")
    rows = after.manifest.set_index("image_id")
    lost = set(before.index) - set(rows.index)
    assert len(lost) == 1
    told = [found for found in read_json(after.folder / "audit.json")["findings"] if found["kind"] == "left-out"]
    assert [found["subject"] for found in told] == list(lost)
    assert "colour image" in told[0]["words"]
    assert (rows["split"] == before.loc[rows.index, "split"]).all()


@pytest.mark.parametrize("link", ["copy", "png"])
def test_a_disk_that_is_too_small_is_reported_before_the_first_byte(
    link: str, organized: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "read_free_gib", lambda place: 1 / 2**10)
    with pytest.raises(DiskError, match="needs about") as caught:
        organized(link)
    assert "setting: workspace" in caught.value.hint
    assert not list((tmp_path / "dataset").rglob("*"))


def test_links_need_space_only_for_the_masks(
    organized: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "read_free_gib", lambda place: 1 / 2**10)
    assert len(organized("hard").manifest)


def test_crops_have_no_masks(organized: Callable[..., Dataset]) -> None:
    crops = organized("hard", images="crops")
    full = organized("hard", folder="full")
    assert set(crops.manifest["mask"]) == {""}
    assert not list((crops.folder / "masks").iterdir())
    sizes = [pydicom.dcmread(crops.path(file)).pixel_array.size for file in crops.manifest["file"]]
    assert max(sizes) < min(pydicom.dcmread(full.path(file)).pixel_array.size for file in full.manifest["file"])
    assert "crops" in crops.protocol
