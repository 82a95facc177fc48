"""Folders of other mammograms: who of them is learned from, what is left out and said, and that a run holds to them."""

import contextlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from tests.data.caches import dataset_of, small_download
from tests.faults.mishaps import SWIN, make_swin_small
from tests.train.pocket import finish
from tests.train.test_fit import flat
from tfm.core.errors import DataError
from tfm.core.events import Note, Progress
from tfm.core.prepare import job_for, key_of_run, settings_of
from tfm.core.registry import find, find_stage
from tfm.core.resolving import resolve
from tfm.core.workspace import Workspace
from tfm.data.cache import Cache
from tfm.data.dataset import Dataset
from tfm.imaging.pixels import read_pixels
from tfm.train import checkpoint
from tfm.train.checkpoint import read
from tfm.train.rows import held_out, rows_of

GIVEN = {"dataset": "films", "architecture": SWIN, "block": 16, "epochs": 2, "batch_size": 6, "threads": 1}
GIVEN |= {"device": "cpu", "checkpoint_seconds": 0}
SIDE = 64


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("extra") / "workspace")
    dataset_of(small_download(workspace.root.parent), workspace.dataset_folder("films"))
    size = {"resize.height": SIDE, "resize.width": SIDE, "workers": 1}
    finish(job_for(workspace, "preprocess", {"dataset": "films", "cache": "films"} | size))
    return workspace


def pretrain_run(workspace, **given):
    return job_for(workspace, "pretrain", GIVEN | {"cache": "films"} | given, [])


def films_of(workspace):
    dataset = Dataset.open(workspace.dataset_folder("films"))
    return dataset, Cache.open(workspace.cache_folder("films"))


def kept_back(workspace):
    dataset, cache = films_of(workspace)
    return held_out(rows_of(dataset, cache, "train"), 0.05, 42)[1].patients


def breast(seed: int) -> np.ndarray:
    """(200, 160) uint8: a breast at the left edge, no other like it."""
    image = np.zeros((200, 160), np.uint8)
    cv2.ellipse(image, (0, 100), (90 + seed, 80), 0, 0, 360, 150, -1)
    noise = np.random.default_rng(seed).integers(-40, 40, image.shape)
    return np.where(image > 0, image + noise, 4).astype(np.uint8)


def as_patient(source: Path, target: Path, patient: str, *, other_pixels: bool = False) -> None:
    header = pydicom.dcmread(source)
    header.PatientID = patient
    if other_pixels:
        pixels = header.pixel_array.copy()
        pixels[0, 0] ^= 1
        header.PixelData = pixels.tobytes()
        header.SOPInstanceUID = f"1.2.3.{target.stem.encode().hex()[:8]}"
    header.save_as(target)


@pytest.fixture(scope="module")
def folder(workspace):
    """Of twelve files, four are to be learned from."""
    dataset, _ = films_of(workspace)
    test, train = dataset.images("test"), dataset.images("train")
    folder = workspace.root.parent / "others"
    (folder / "deep").mkdir(parents=True)
    for seed in (1, 2):
        cv2.imwrite(str(folder / "deep" / f"film{seed}.png"), breast(seed))
    film = dataset.path(train["file"].iloc[0])
    woman = next(one for one in train["patient_id"] if one not in kept_back(workspace))
    as_patient(film, folder / "hers.dcm", "H-17", other_pixels=True)
    as_patient(film, folder / "known.dcm", f"Mass-Training_{woman}_LEFT_CC", other_pixels=True)
    as_patient(film, folder / "judge.dcm", f"Mass-Test_{test['patient_id'].iloc[0]}_LEFT_CC", other_pixels=True)
    as_patient(film, folder / "back.dcm", kept_back(workspace)[0], other_pixels=True)
    as_patient(film, folder / "crop.dcm", "Mass-Training_P_99999_LEFT_CC_1", other_pixels=True)
    cv2.imwrite(str(folder / "twin.png"), read_pixels(dataset.path(test["file"].iloc[0])))
    shutil.copy(folder / "deep" / "film1.png", folder / "film1 again.png")
    lesion = np.zeros((200, 160), np.uint8)
    cv2.circle(lesion, (80, 100), 40, 255, -1)
    cv2.imwrite(str(folder / "mask.png"), lesion)
    (folder / "cut.png").write_bytes((folder / "deep" / "film2.png").read_bytes()[:3000])
    (folder / "notes.txt").write_text("of the ward")
    return folder


@pytest.fixture(scope="module")
def run(workspace, folder):
    with pytest.MonkeyPatch.context() as patch:
        make_swin_small(patch)
        return finish(pretrain_run(workspace, extra=str(folder)))


def test_what_is_no_mammogram_or_shows_a_judge_is_left_out_each_with_its_reason(run):
    listed = pd.read_csv(run.folder / "left_out.csv")
    reasons = dict(zip(listed["file"], listed["reason"], strict=True))
    assert {name: reason.partition(":")[0] for name, reason in reasons.items() if name != "cut.png"} == {
        "judge.dcm": "of a woman of validation or test, or of one kept back",
        "back.dcm": "of a woman of validation or test, or of one kept back",
        "crop.dcm": "a cut-out or a mask of CBIS-DDSM, as its name says",
        "twin.png": "the picture is in the dataset already",
        "film1 again.png": "the same picture as another of them",
        "deep/film1.png": reasons["deep/film1.png"],
        "mask.png": "a mask",
        "notes.txt": "not an image file",
    } or reasons == {}
    assert "cut" in reasons["cut.png"]
