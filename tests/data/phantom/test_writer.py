"""A phantom download on disk: the form of TCIA, the same bytes each time, never over other files."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.data.phantoms import make_plan, read_case_rows, read_table, read_tree
from tfm.commands.phantom import Phantom
from tfm.core.errors import DataError, SettingsError
from tfm.core.settings.resolve import resolve
from tfm.data.phantom.mammogram import draw_mammogram
from tfm.data.phantom.writer import write_download

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "clean"
    list(write_download(make_plan(), out))
    return out


def test_progress_is_reported_after_each_mammogram(tmp_path):
    wanted = make_plan(test_women=0, train_women=2)
    assert list(write_download(wanted, tmp_path)) == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_two_writes_give_the_same_bytes(clean, tmp_path):
    list(write_download(make_plan(), tmp_path))
    assert read_tree(tmp_path) == read_tree(clean)


def test_another_seed_gives_other_pixels_and_other_uids(clean, tmp_path):
    list(write_download(make_plan(seed=6), tmp_path))
    uids = [{p.parent.name for p in out.rglob("*.dcm")} for out in (clean, tmp_path)]
    assert not uids[0] & uids[1]


def test_a_write_killed_at_the_start_can_be_resumed(clean, tmp_path):
    (tmp_path / ".phantom.yaml.0badbeef.tmp").write_bytes(b"synth")
    list(write_download(make_plan(), tmp_path))
    assert read_tree(tmp_path) == read_tree(clean)


def test_a_folder_with_other_files_is_refused(clean, tmp_path):
    official = tmp_path / "mass_case_description_train_set.csv"
    official.write_bytes(b"patient_id")
    with pytest.raises(DataError, match="not empty"):
        next(write_download(make_plan(), tmp_path))
    assert read_tree(tmp_path) == {official.name: b"patient_id"}
    before = read_tree(clean)
    with pytest.raises(DataError, match="other settings"):
        next(write_download(make_plan(seed=6), clean))
    assert read_tree(clean) == before


def test_every_row_leads_to_the_pixels_it_names(clean):
    root = clean / "manifest-phantom"
    folder = {row["Series UID"]: root / row["File Location"] for row in read_table(root / "metadata.csv")}

    def read(path: str) -> pydicom.Dataset:
        subject, study, series, name = path.split("/")
        dataset = pydicom.dcmread(folder[series] / name)
        assert (dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID) == (subject, study, series)
        return dataset

    found = read_case_rows(clean)
    assert len(found) == 8
    for row in found:
        full, crop, mask = (read(row[f"{what} file path"]) for what in ("image", "cropped image", "ROI mask"))
        for dataset in (full, crop, mask):
            assert dataset.Laterality == row["left or right breast"][0]
            assert dataset.PatientOrientation == row["image view"]
            assert dataset.InstanceNumber == 1
            assert dataset.Modality == "MG"
        assert full.SeriesDescription == "full mammogram images"
        assert full.BitsStored == 16
        assert crop.SeriesDescription == "cropped images"
        assert crop.pixel_array.max() == 65535
        assert mask.SeriesDescription == "ROI mask images"
        assert mask.BitsStored == 8
        assert set(np.unique(mask.pixel_array)) == {0, 255}
        assert mask.pixel_array.shape == full.pixel_array.shape
        assert crop.Rows < full.Rows / 2
        assert crop.Columns < full.Columns / 2


def test_the_files_contain_the_drawn_pixels(clean):
    for mammogram in make_plan().mammograms:
        (path,) = clean.glob(f"*/CBIS-DDSM/{mammogram.subject}/*/*/1-1.dcm")
        (mask,) = clean.glob(f"*/CBIS-DDSM/{mammogram.subject}_1/*/*/1-2.dcm")
        phantom = draw_mammogram(mammogram.exposure)
        assert np.array_equal(pydicom.dcmread(path).pixel_array, phantom.image)
        assert np.array_equal(pydicom.dcmread(mask).pixel_array > 0, phantom.lesion_masks[0])


def test_uids_are_valid_and_unique_and_name_the_folders(clean):
    datasets = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in clean.rglob("*.dcm")}
    instances = [d.SOPInstanceUID for d in datasets.values()]
    assert len(set(instances)) == len(instances) == 8 * 3
    assert len({d.SeriesInstanceUID for d in datasets.values()}) == 8 * 2
    for path, d in datasets.items():
        for uid in (d.SOPInstanceUID, d.SeriesInstanceUID, d.StudyInstanceUID):
            assert uid.is_valid
            assert len(uid) < len("1.3.6.1.4.1.9590.100.1.2.") + 38
        assert path.parent.name.endswith(f"-{d.SeriesInstanceUID[-5:]}")
        assert path.parent.parent.name == f"01-01-2020-DDSM-NA-{d.StudyInstanceUID[-5:]}"


def test_each_file_says_that_it_is_synthetic(clean):
    for path in clean.rglob("*.dcm"):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        assert "phantom" in dataset.Manufacturer
        assert "Synthetic" in dataset.ImageComments
        assert "Not a patient" in dataset.ImageComments


def test_headers_have_the_real_files_fields(clean):
    real = next(iter(sorted((SHARED / "tree").rglob("1-1.dcm"))), None)
    if real is None:
        pytest.skip("no real download here")
    theirs = pydicom.dcmread(real)
    confession = {pydicom.tag.Tag("Manufacturer"), pydicom.tag.Tag("ImageComments")}
    for path in clean.rglob("*.dcm"):
        ours = pydicom.dcmread(path)
        assert set(ours.keys()) - confession == set(theirs.keys())
        assert set(ours.file_meta.keys()) == set(theirs.file_meta.keys())
        assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID
        for field in ("SOPClassUID", "Modality", "ConversionType", "BodyPartExamined", "PhotometricInterpretation"):
            assert ours[field].value == theirs[field].value
        for field in theirs:
            assert ours[field.tag].VR == field.VR


def test_tables_have_the_official_columns_and_line_ends(tmp_path):
    if not (SHARED / "csv").exists():
        pytest.skip("no official CSVs here")
    forms = ("density-header", "linefeed-in-paths", "wrong-file-names")
    list(write_download(make_plan(*forms, train_women=4, test_women=4), tmp_path))
    names = {p.name for p in tmp_path.glob("*.csv")}
    assert names == {p.name for p in (SHARED / "csv").glob("*_case_*.csv")}
    assert len(names) == 4
    for path in [*tmp_path.glob("*.csv"), tmp_path / "manifest-phantom" / "metadata.csv"]:
        theirs = (SHARED / "csv" / path.name).read_bytes().splitlines(keepends=True)[0]
        assert path.read_bytes().startswith(theirs.rstrip() + b"\r\n")
        assert theirs.endswith(b"\r\n")


def test_no_patient_in_two_splits_and_every_patient_in_both_views():
    patients: dict[str, set[tuple[str, str]]] = {}
    for m in make_plan(train_women=20, test_women=10).mammograms:
        patients.setdefault(m.exposure.patient, set()).add((m.split, m.exposure.view))
    assert len(patients) == 30
    assert all(
        seen in ({("train", "CC"), ("train", "MLO")}, {("test", "CC"), ("test", "MLO")}) for seen in patients.values()
    )


def test_kinds_and_classes_are_balanced():
    cases = {
        (m.split, m.kind, m.exposure.patient): m.findings[0].pathology == "MALIGNANT"
        for m in make_plan(train_women=40, test_women=8).mammograms
    }
    for split, count in (("train", 20), ("test", 4)):
        for kind in ("mass", "calc"):
            labels = [malignant for (s, k, _), malignant in cases.items() if (s, k) == (split, kind)]
            assert len(labels) == count
            assert sum(labels) == count / 2


def test_labels_follow_the_pixels_in_both_views():
    for m in make_plan(train_women=20, kinds=("mass",)).mammograms:
        assert m.kind == "mass"
        assert (m.findings[0].pathology == "MALIGNANT") == m.exposure.lesions[0].malignant


def test_shuffled_labels_are_independent_of_the_unchanged_pixels():
    true, shuffled = make_plan(train_women=40), make_plan(train_women=40, shuffle_labels=True)
    assert [m.exposure for m in true.mammograms] == [m.exposure for m in shuffled.mammograms]
    pathologies = [sorted(m.findings[0].pathology for m in p.mammograms) for p in (true, shuffled)]
    assert pathologies[0] == pathologies[1]
    for kind in ("mass", "calc"):
        drawn = {False: [], True: []}
        for m in shuffled.mammograms:
            if (m.kind, m.split) == (kind, "train"):
                drawn[m.exposure.lesions[0].malignant].append(m.findings[0].pathology == "MALIGNANT")
        assert np.mean(drawn[True]) == np.mean(drawn[False]) == 0.5
    by_patient = {(m.exposure.patient, m.findings[0].pathology) for m in shuffled.mammograms}
    assert len(by_patient) == 41, "the two views of a patient must keep one label"


@pytest.mark.parametrize(
    ("field", "value"),
    [("height", 100), ("height", 5000), ("difficulty", 1.5), ("kinds", ()), ("kinds", ("mass", "cyst")),
     ("train_women", 0), ("test_women", -1), ("traps", "quicksand")],
)  # fmt: skip
def test_invalid_settings_are_refused_with_their_field(field, value):
    with pytest.raises(SettingsError) as refused:
        resolve(Phantom, {}, {"out": "download", field: value})
    assert field in refused.value.fields
