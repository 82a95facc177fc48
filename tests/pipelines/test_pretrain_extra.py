"""Extra folders of mammograms: which images a pretraining uses, which it leaves out, and that a run keeps to them."""

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
from tests.training.results import flatten_checkpoint
from tests.training.small_dataset import finish_run
from tfm.core import files
from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Note, Progress, Table
from tfm.core.registry import find_command, find_stage
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.keys import compute_run_key
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.restart_or_extend import restart_run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.resolve import resolve
from tfm.core.settings.serialize import collect_key_values
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.data.seen_patients import SeenPatients
from tfm.imaging.read_image import read_pixels
from tfm.training import checkpoint
from tfm.training.checkpoint import read_checkpoint
from tfm.training.inputs.samples import find_samples, split_off_patients
from tfm.training.settings import DEFAULT_SEED

GIVEN = {"dataset": "films", "architecture": SWIN, "block": 16, "epochs": 2, "batch_size": 6, "threads": 1}
GIVEN |= {"device": "cpu", "checkpoint_seconds": 0}
SIDE = 64


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("extra") / "workspace")
    dataset_of(small_download(workspace.root.parent), workspace.dataset_folder("films"))
    size = {"resize.height": SIDE, "resize.width": SIDE, "workers": 1}
    finish_run(find_or_create_job(workspace, "preprocess", {"dataset": "films", "cache": "films"} | size))
    return workspace


def pretrain_run(workspace, **given):
    return find_or_create_job(workspace, "pretrain", GIVEN | {"cache": "films"} | given, [])


def films_of(workspace):
    dataset = Dataset.open(workspace.dataset_folder("films"))
    return dataset, Cache.open(workspace.cache_folder("films"))


def kept_back(workspace):
    dataset, cache = films_of(workspace)
    train = find_samples(dataset, cache, "train")
    return split_off_patients(train, 0.05, DEFAULT_SEED, np.ones(len(train), bool))[1].patients


def breast(seed: int) -> np.ndarray:
    """(200, 160) uint8: a breast at the left edge, different for each number."""
    image = np.zeros((200, 160), np.uint8)
    cv2.ellipse(image, (0, 100), (90 + seed, 80), 0, 0, 360, 150, -1)
    noise = np.random.default_rng(seed).integers(-40, 40, image.shape)
    return np.where(image > 0, image + noise, 4).astype(np.uint8)


def as_patient(source: Path, target: Path, patient: str) -> None:
    """A copy that names another patient, with one pixel changed."""
    header = pydicom.dcmread(source)
    header.PatientID = patient
    pixels = header.pixel_array.copy()
    pixels[0, len(patient)] ^= 1
    header.PixelData = pixels.tobytes()
    header.SOPInstanceUID = f"1.2.3.{len(patient)}"
    header.save_as(target)


@pytest.fixture(scope="module")
def folder(workspace):
    """Seventeen files and three links; four files are usable."""
    dataset, _ = films_of(workspace)
    test, train = dataset.select_images("test"), dataset.select_images("train")
    folder = workspace.root.parent / "others"
    (folder / "deep").mkdir(parents=True)
    for seed in (1, 2):
        cv2.imwrite(str(folder / "deep" / f"film{seed}.png"), breast(seed))
    film = dataset.path(train["file"].iloc[0])
    patient = next(one for one in train["patient_id"] if one not in kept_back(workspace))
    as_patient(film, folder / "hers.dcm", "H-17")
    as_patient(film, folder / "known.dcm", f"Calc-Training_{patient}_RIGHT_MLO")
    as_patient(film, folder / "judge.dcm", f"Mass-Test_{test['patient_id'].iloc[0]}_LEFT_CC")
    number = int(test["patient_id"].iloc[0].removeprefix("P_"))
    cv2.imwrite(str(folder / f"P_{number:05d}.png"), breast(3))
    cv2.imwrite(str(folder / f"p-{number:06d}_right_cc.png"), breast(4))
    as_patient(film, folder / "lower case.dcm", f"p_{number:05d}")
    as_patient(film, folder / "without zeros.dcm", f"P_{number}")
    as_patient(film, folder / "back.dcm", kept_back(workspace)[0])
    as_patient(film, folder / "crop.dcm", "Mass-Training_P_99999_LEFT_CC_1")
    cv2.imwrite(str(folder / "twin.png"), read_pixels(dataset.path(test["file"].iloc[0])))
    shutil.copy(folder / "deep" / "film1.png", folder / "film1 again.png")
    inside = np.random.default_rng(0).integers(100, 200, (200, 160)).astype(np.uint8)
    inside[0, 0] = 0
    cv2.imwrite(str(folder / "inside.png"), inside)
    lesion = np.zeros((200, 160), np.uint8)
    cv2.circle(lesion, (80, 100), 40, 255, -1)
    cv2.imwrite(str(folder / "mask.png"), lesion)
    (folder / "cut.png").write_bytes((folder / "deep" / "film2.png").read_bytes()[:3000])
    (folder / "notes.txt").write_text("of the ward")
    for name, target in (("gone.png", "nowhere.png"), ("again", "deep"), ("deep/up", "..")):
        (folder / name).symlink_to(target)
    return folder


@pytest.fixture(scope="module")
def run(workspace, folder):
    with pytest.MonkeyPatch.context() as patch:
        make_swin_small(patch)
        return finish_run(pretrain_run(workspace, extra=str(folder)))


def test_unusable_images_are_left_out_with_a_reason(run):
    listed = pd.read_csv(run.folder / "left_out.csv")
    reasons = {file: reason.partition(":")[0] for file, reason in zip(listed["file"], listed["reason"], strict=True)}
    assert "truncated" in reasons.pop("cut.png")
    evaluated = "of a patient of validation or test, or of one kept back"
    spelled = [name for name in reasons if name[:2] in ("P_", "p-") or name in ("lower case.dcm", "without zeros.dcm")]
    assert [reasons.pop(name) for name in spelled] == [evaluated] * 4, "a test patient in any spelling is left out"
    assert reasons == {
        "judge.dcm": evaluated,
        "back.dcm": evaluated,
        "crop.dcm": "a crop or a mask of CBIS-DDSM, by its name",
        "twin.png": "the image is in the dataset already",
        "film1 again.png": "the same image as another one of the extra folders",
        "inside.png": "breast from edge to edge, as in a crop",
        "mask.png": "a mask",
        "notes.txt": "not an image file",
        "gone.png": "a link to a file that does not exist",
        "again": "a link to a folder that is read anyway",
        "deep/up": "a link to a folder that contains it",
    }
    table = next(event for event in run.read_events() if isinstance(event, Table))
    assert table.title == "16 files of the extra folders are left out"


def test_extra_images_are_added_to_the_training_images_and_remembered(run, workspace):
    dataset, _ = films_of(workspace)
    patients = set(dataset.select_images("train")["patient_id"])
    hidden = set(run.read_environment()["patients_seen"]) - patients
    assert all(name.startswith("extra:#") for name in hidden), "no name of a hospital's patient is in a file"
    names = ("extra:H-17", "extra:others/deep/film1.png", "extra:others/deep/film2.png")
    assert len(hidden) == 3
    assert all(SeenPatients.read(run).has_any([name]) for name in names)
    own = len(dataset.select_images("train")) - 2 * len(kept_back(workspace))
    told = " ".join(event.text for event in run.read_events() if isinstance(event, Note))
    assert "4 images of the extra folders" in told
    assert run.read_status().result["images"] == own + 4
    assert (run.read_environment()["extra"]["images"], run.read_environment()["extra"]["left_out"]) == (4, 16)
    assert workspace.list_products("cache") == ["films"], "they make no cache that a form would offer"


def test_extra_images_are_preprocessed_like_the_cache(run, workspace, folder):
    dataset, cache = films_of(workspace)
    made = Cache.open(workspace.root / "unlabelled" / run.read_environment()["extra"]["caches"][0])
    film = dataset.select_images("train")["image_id"].iloc[0]
    here = {name: row for row, name in enumerate(made.index["image_id"])}
    theirs = cache.images[list(cache.index["image_id"]).index(film)]
    off = np.abs(made.images[here["hers.dcm"]].astype(int) - theirs)  # but for the one pixel that was changed
    assert off.max() <= 1
    assert (made.folder / "settings.yaml").read_bytes() == (cache.folder / "settings.yaml").read_bytes()
    both = cache.join([made])
    chosen = np.array([len(cache.images) + 1, 0, len(cache.images) - 1])
    assert (both.images[chosen] == np.stack([made.images[1], cache.images[0], cache.images[-1]])).all()
    assert (both.breast[len(cache.images) - 1 :] == np.concatenate([cache.breast[-1:], made.breast])).all()


def stopped(run, counted, number):
    generator = find_stage("pretrain").generate(load_settings(run), run)
    with run.hold_lock(), contextlib.closing(generator):
        for event in generator:
            number -= isinstance(event, Progress) and event.name == counted
            if not number:
                return


def test_a_run_stopped_while_caching_and_while_training_ends_bit_identical(run, workspace, monkeypatch):
    make_swin_small(monkeypatch)
    monkeypatch.setattr(checkpoint, "WRITE_SHARE", 0)
    made = workspace.root / "unlabelled" / run.read_environment()["extra"]["caches"][0]
    whole = {path.name: path.read_bytes() for path in made.glob("*.npy")}
    shutil.rmtree(made)
    other = restart_run(run)
    stopped(other, "images", 3)
    stopped(other, "step", 2)
    finish_run(other)
    assert {path.name: path.read_bytes() for path in made.glob("*.npy")} == whole
    assert other.metrics_file.read_bytes() == run.metrics_file.read_bytes()
    one, two = (flatten_checkpoint(read_checkpoint(which.checkpoints_folder / "last.pt")) for which in (run, other))
    assert [place for place in one.keys() | two.keys() if one.get(place) != two.get(place)] == []


def test_a_changed_folder_gives_another_key_and_is_noticed_on_resume(run, workspace, folder, monkeypatch):
    make_swin_small(monkeypatch)
    begun = restart_run(run)
    stopped(begun, "step", 1)
    cv2.imwrite(str(folder / "film3.png"), breast(3))
    try:
        assert pretrain_run(workspace, extra=str(folder)).id not in (run.id, begun.id)
        with pytest.raises(DataError, match="have changed since this run started"):
            stopped(begun, "step", 1)
    finally:
        (folder / "film3.png").unlink()


def test_without_extra_folders_the_run_key_is_unchanged(workspace):
    stage = find_stage("pretrain")
    settings = resolve(stage.settings, {}, GIVEN | {"cache": "films"})
    assert "extra" not in collect_key_values(settings)
    assert compute_run_key(workspace, stage, settings) == compute_run_key(
        workspace, stage, resolve(stage.settings, {}, GIVEN | {"cache": "films", "extra": []})
    )


def test_a_folder_without_mammograms_and_a_cache_of_an_older_version_are_refused(workspace, folder, tmp_path):
    (tmp_path / "read me.txt").write_text("nothing")
    with pytest.raises(DataError, match="no mammogram was found below"):
        stopped(pretrain_run(workspace, extra=str(tmp_path)), "step", 1)
    with pytest.raises(SettingsError, match="is a file, not a folder"):
        pretrain_run(workspace, extra=str(tmp_path / "read me.txt"))
    old = workspace.cache_folder("old")
    shutil.copytree(workspace.cache_folder("films"), old)
    said = files.read_yaml(old / "settings.yaml")
    files.write_yaml(old / "settings.yaml", said | {"version": said["version"] - 1})
    try:
        with pytest.raises(DataError, match="another version of the program"):
            stopped(pretrain_run(workspace, cache="old", extra=str(folder)), "step", 1)
    finally:
        shutil.rmtree(old)


def test_the_plan_gives_extra_folders_to_the_pretraining_only(folder, workspace):
    planner = find_command("swin-mim")
    given = {"dataset": "films", "cache": "films", "extra": [str(folder)]}
    steps = {step.name: step for step in planner.build_steps(resolve(planner.settings, {}, given), workspace)}
    assert [name for name, step in steps.items() if "extra" in step.settings] == ["pretrain"]
    assert resolve(find_stage("pretrain").settings, {}, steps["pretrain"].settings).extra == (folder,)


@pytest.mark.long
def test_other_processes_use_the_extra_images(workspace, folder):
    plain = {"architecture": "test_convnext", "beta": 0, "epochs": 1, "extra": str(folder)}
    both, alone = (finish_run(pretrain_run(workspace, **plain, **how)) for how in ({"devices": 2}, {"accumulate": 2}))
    one, two = (pd.read_csv(which.metrics_file).iloc[0].to_dict() for which in (both, alone))
    assert one == pytest.approx(two, rel=1e-5)
