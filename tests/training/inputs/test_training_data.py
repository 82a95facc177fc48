"""A run remembers its data, its first weights and the patients it has seen, and notices changes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.returned import returned
from tests.training.small_dataset import PATIENTS, make_small_dataset, make_train_run
from tfm.core.errors import DataError
from tfm.models.build import build_model
from tfm.models.normalisation import Normalisation
from tfm.models.settings import ModelSettings
from tfm.training.checkpoint import Checkpoints
from tfm.training.inputs.samples import Samples, check_unseen
from tfm.training.inputs.starting_point import SourceRun, check_unchanged
from tfm.training.inputs.training_data import Sources, TrainingData, choose_normalisation, open_sources, remember_inputs


@pytest.fixture
def run(workspace):
    make_small_dataset(workspace)
    return make_train_run(workspace)


def remember(run, data, weights=None):
    remember_inputs(run, data, returned(data.collect_facts()), weights, [])


def test_only_patients_of_used_samples_are_recorded_as_seen(run):
    whole = TrainingData.open(run.workspace, "pocket", "pocket")
    patients = {name: set(getattr(whole, name).patients) for name in PATIENTS}
    assert {name: len(seen) for name, seen in patients.items()} == PATIENTS
    data = replace(
        whole,
        train=whole.train.select(list(range(6))),
        val=whole.train.select(list(range(2))),
        test=whole.test.select(list(range(0))),
    )
    remember(run, data)
    assert set(run.read_environment()["patients_seen"]) == set(whole.train.select(list(range(6))).patients)
    assert run.read_environment()["dataset"] == "pocket"
    assert run.read_environment()["weights_sha256"] is None


def test_a_merged_patient_is_remembered_under_both_names(run):
    """P_00002 counts as P_00001, because two of their images are identical."""
    data = TrainingData.open(run.workspace, "pocket", "pocket")
    table = data.train.table.assign(patient_id="P_00001")
    table.loc[0, "image_id"] = "P_00002_LEFT_CC"
    remember(run, replace(data, train=Samples(table, data.train.positions)))
    seen = run.read_environment()["patients_seen"]
    assert {"P_00001", "P_00002"} < set(seen)
    for test in ("P_00002", "P_2", "p-0001"):
        with pytest.raises(DataError, match=f"have seen 1 of the 1 test patients: {test}"):
            check_unseen("they", seen, test=Samples(table.assign(patient_id=test), data.train.positions))


def test_a_patient_of_another_collection_is_met_again_by_its_own_name_only(run):
    data = TrainingData.open(run.workspace, "pocket", "pocket")
    table = data.train.table.assign(image_id="own:P1_LEFT_CC", patient_id="own:P1")
    test = Samples(table, data.train.positions)
    check_unseen("they", ["P_00001"], test=test)
    for seen in ("own:P1", "extra:P1"):  # the second from a file of an extra folder, which names no collection
        with pytest.raises(DataError, match="have seen 1 of the 1 test patients: own:P1"):
            check_unseen("they", [seen], test=test)


def test_changed_first_weights_are_refused_on_resume(run, tmp_path):
    data, weights = TrainingData.open(run.workspace, "pocket", "pocket"), tmp_path / "model.safetensors"
    weights.write_bytes(b"as they were")
    remember(run, data, weights)
    remember(run, data, weights)
    weights.write_bytes(b"as they were made anew")
    with pytest.raises(DataError, match=r"the weights in .*model.safetensors have changed since this run started"):
        remember(run, data, weights)


def test_changed_samples_are_refused_on_resume(run):
    whole = TrainingData.open(run.workspace, "pocket", "pocket")
    remember(run, whole)
    remember(run, TrainingData.open(run.workspace, "pocket", "pocket"))
    with pytest.raises(DataError, match="have changed since this run started"):
        remember(run, replace(whole, test=whole.test.select(list(range(0)))))


@pytest.mark.parametrize(
    ("array", "words"), [("images", "images"), ("breast", "breast masks"), ("lesions", "lesion masks")]
)
def test_changed_pixels_are_refused_on_resume_and_when_a_run_is_used(run, array, words):
    before = TrainingData.open(run.workspace, "pocket", "pocket")
    remember(run, before)
    path = run.workspace.cache_folder("pocket") / f"{array}.npy"
    changed = np.load(path)
    changed[before.test.positions[-1], 5, 5] ^= 1
    np.save(path, changed)
    after = TrainingData.open(run.workspace, "pocket", "pocket")
    with pytest.raises(DataError, match=f"^the {words} of the cache pocket have changed"):
        remember(run, after)
    with pytest.raises(DataError, match=f"^the {words} of {run.id} have changed"):
        check_unchanged(SourceRun(run), returned(after.collect_facts()))


def test_reading_all_images_reports_progress(run):
    data = TrainingData.open(run.workspace, "pocket", "pocket")
    sources = Sources(weights=None, weights_source=None, extended=None)
    events = [*data.collect_facts(), *choose_normalisation(run, data, ModelSettings(), sources)]
    read = {
        name: [(one.done, one.total) for one in events if one.name == name] for name in {one.name for one in events}
    }
    assert read == {"fingerprint of the images": [(64, 72), (72, 72)], "grey values of the training images": [(36, 36)]}
    assert run.read_environment()["normalisation"].keys() == {"mean", "deviation"}


LITE0 = {"architecture": "tf_efficientnet_lite0"}
CARD = Normalisation(0.5, 0.5, ((0.5, 0.5),) * 3)  # of the ImageNet weights of EfficientNet-Lite0
OTHER = Normalisation(0.3, 0.2)  # what another run was trained with


def choose(run, weights: str) -> Normalisation:
    """Open the first weights as a training does, and choose the normalisation."""
    data = TrainingData.open(run.workspace, "pocket", "pocket")
    data = replace(data, val=data.val.select([]), test=data.test.select([]))  # no patient is seen by another run
    model = ModelSettings(**LITE0, weights=weights)
    return returned(choose_normalisation(run, data, model, returned(open_sources(run, data, model))))


def test_pretrained_weights_bring_their_own_normalisation(run):
    measured = choose(run, "none")
    assert measured.colours == ()
    assert measured.mean != pytest.approx(CARD.mean)
    assert choose(make_train_run(run.workspace, seed=2), "imagenet") == CARD


def make_finished_run(workspace, **content):
    """Make a run with a best checkpoint, as a classifier trained with other statistics."""
    other = make_train_run(workspace, seed=2)
    other.save_facts(normalisation=OTHER.to_facts(), patients_seen=[], origin_unknown=[])
    Checkpoints(other.checkpoints_folder, 0, other.read_status().key).save_best(
        {"network": build_model(ModelSettings(**LITE0), (64, 64)).state_dict()} | content
    )
    return other


def test_weights_of_a_run_keep_the_normalisation_of_that_run(run):
    other = make_finished_run(run.workspace)
    assert choose(run, f"run:{other.id}") == OTHER


def test_checkpoint_as_a_file_keeps_the_normalisation_it_was_trained_with(run, tmp_path):
    other = make_finished_run(run.workspace, normalisation=CARD.to_facts())
    copy = shutil.copy(other.checkpoints_folder / "best.pt", tmp_path / "mine.pth")
    assert choose(run, f"file:{copy}") == CARD


def test_checkpoint_from_before_is_normalised_as_its_run_was(run):
    other = make_finished_run(run.workspace)
    assert choose(run, f"file:{other.checkpoints_folder / 'best.pt'}") == OTHER


def test_resumed_run_keeps_its_normalisation(run):
    """Runs from before measured their training images whatever their weights were."""
    run.save_facts(normalisation={"mean": 0.3, "deviation": 0.2})
    assert choose(run, "imagenet") == OTHER
