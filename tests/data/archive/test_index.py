"""The real index of the Imaging Data Commons, and selections from it."""

import csv
from collections import Counter

import pytest

from tests.data.archive.archive import write_index
from tfm.core.errors import DataError, SettingsError
from tfm.data.archive import index, selection
from tfm.data.archive.index import Series
from tfm.data.archive.nbia_names import locate_series
from tfm.data.download.tcia_metadata import format_manifest
from tfm.data.sources.cbis_ddsm import read_cases

PARTS = ["mass train", "mass test", "calc train", "calc test"]


@pytest.fixture(scope="module")
def cbis() -> list[Series]:
    return index.read_series(index.find_index(), "cbis-ddsm")


def test_the_index_has_all_of_cbis_ddsm(cbis):
    mammograms = Counter(map(selection.name_part, filter(selection.is_mammogram, cbis)))
    assert mammograms == {"mass train": 1231, "mass test": 361, "calc train": 1227, "calc test": 284}
    assert (len(cbis), sum(one.files for one in cbis)) == (6775, 10239)
    assert round(sum(one.size for one in cbis) / 1e9, 1) == 163.5


def test_a_part_is_kinds_and_splits_with_or_without_masks(cbis):
    assert selection.select_parts(cbis, PARTS, with_masks=True) == cbis
    masses = selection.select_parts(cbis, PARTS[:2], with_masks=False)
    assert (len(masses), round(sum(one.size for one in masses) / 1e9, 1)) == (1592, 53.6)


def test_names_are_those_that_nbia_writes(cbis, shared_data):
    """The index has old names of 396 series, no date for 246, and of two dates in a series it may take the other."""
    with open(shared_data / "csv" / "metadata.csv", newline="") as file:
        nbia = {row["Series UID"]: row for row in csv.DictReader(file)}
    assert {one.uid: one.subject for one in cbis} == {uid: row["Subject ID"] for uid, row in nbia.items()}
    ours = {one.uid: f"./{locate_series('cbis-ddsm', one)}" for one in cbis}
    theirs = {uid: row["File Location"] for uid, row in nbia.items()}

    def without_date(path: str) -> str:
        *above, study, series = path.split("/")
        return "/".join([*above, study.partition("-DDSM-")[2], series])

    other = [uid for uid in ours if without_date(ours[uid]) != without_date(theirs[uid])]
    assert len(other) == 3  # NBIA names these series after the other file
    assert sum(ours[uid] == theirs[uid] for uid in ours) > 5000


def test_a_trial_has_as_many_malignant_patients_as_others_and_some_for_testing(cbis, shared_data):
    cases = read_cases(sorted((shared_data / "csv").glob("*_case_description_*.csv")))
    groups = selection.group_cases(cases)
    chosen = selection.select_patients(cbis, 40, groups)
    patients = {selection.find_patient(one) for one in chosen}
    counts = Counter(groups[patient] for patient in patients)
    assert len(patients) == 40
    assert counts["train", "malignant"] + counts["test", "malignant"] == 20
    assert 2 <= counts["test", "malignant"] <= 6
    assert patients < {selection.find_patient(one) for one in selection.select_patients(cbis, 60, groups)}


def test_only_what_an_audit_misses_is_selected(cbis, tmp_path):
    (tmp_path / "missing.tcia").write_text(format_manifest([cbis[5].uid, cbis[700].uid]))
    assert selection.select_missing(cbis, tmp_path / "missing.tcia") == [cbis[5], cbis[700]]


def test_a_missing_series_of_another_collection_is_refused(cbis, tmp_path):
    (tmp_path / "missing.tcia").write_text(format_manifest([cbis[5].uid, "1.2.3"]))
    with pytest.raises(DataError, match=r"1 of the 2 series .* such as 1\.2\.3"):
        selection.select_missing(cbis, tmp_path / "missing.tcia")


def test_a_dataset_that_misses_nothing_is_told(cbis, tmp_path):
    with pytest.raises(SettingsError, match="misses no series"):
        selection.select_missing(cbis, tmp_path / "missing.tcia")


def test_cmmd_has_one_series_a_patient():
    cmmd = index.read_series(index.find_index(), "cmmd")
    assert len({selection.find_patient(one) for one in cmmd}) == len(cmmd) == 1775
    assert str(locate_series("cmmd", cmmd[0])) == "CMMD/D1-0001/07-18-2010-NA-NA-79377/1.000000-NA-70244"


@pytest.mark.parametrize(("collection", "licence_url"), [("cbis-ddsm", "by/3.0/"), ("cmmd", "by/4.0/")])
def test_licence_and_citation_are_plain_text(collection, licence_url):
    source = index.read_source(index.find_index(), collection)
    assert licence_url in source.licence_url
    assert "[Data set]. The Cancer Imaging Archive. https://doi.org/10.7937/" in source.citation
    assert not any(mark in source.citation for mark in ("<", "&amp;"))


def test_an_index_without_the_collection_says_how_to_get_a_newer_one(tmp_path):
    other = write_index(tmp_path, [dict.fromkeys(("collection_id",), "other") | {"instanceCount": 1}])
    with pytest.raises(DataError, match="has no collection cmmd") as caught:
        index.read_series(other, "cmmd")
    assert "pip install --upgrade idc-index-data" in caught.value.hint


def test_a_damaged_index_is_told(tmp_path):
    (tmp_path / "idc_index.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read"):
        index.read_series(tmp_path / "idc_index.parquet", "cmmd")


def test_a_missing_index_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(DataError, match="is not installed") as caught:
        index.find_index()
    assert "pip install" in caught.value.hint
