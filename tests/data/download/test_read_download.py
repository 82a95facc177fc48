"""Phantoms with all traps in every layout give the dataset and audit that their plan predicts."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import pytest

from tests.data.downloads import parse_manifest, plan_catalog, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core.files import read_json
from tfm.data.dataset.dataset import Dataset
from tfm.data.phantom import series
from tfm.data.phantom.download_plan import DownloadPlan, Finding, LayoutName, Mammogram


@dataclass(frozen=True)
class Organized:
    plan: DownloadPlan  # the truth
    dataset: Dataset
    account: dict

    def list_subjects(self, kind: str) -> list[str]:
        return sorted(found["subject"] for found in self.account["findings"] if found["kind"] == kind)

    def lesions(self) -> Iterator[tuple[Mammogram, Finding]]:
        for drawn in self.plan.mammograms:
            for finding in drawn.findings:
                yield drawn, finding

    def lost_masks(self) -> set[str]:
        return {drawn.format_lesion_subject(one) for drawn, one in self.lesions() if one.absent or one.mask_unreadable}


@pytest.fixture(scope="module", params=get_args(LayoutName))
def organized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Organized:
    home = tmp_path_factory.mktemp(request.param)
    plan = phantom_download(home / "download", 16, 6, planted="all", seed=3, layout=request.param)
    catalog = read_catalog(home / "download", index=home / "headers.sqlite")
    writing = write_dataset(home / "dataset", plan_catalog(catalog), home / "download")
    list(writing)
    return Organized(plan, Dataset.open(home / "dataset"), read_json(home / "dataset" / "audit.json"))


def scan(drawn: Mammogram) -> str:
    return f"{drawn.exposure.patient}_{drawn.exposure.side}_{drawn.exposure.view}"


def test_each_complete_scan_is_one_image_with_the_label_of_all_its_lesions(organized: Organized) -> None:
    tested = {drawn.exposure.patient for drawn in organized.plan.mammograms if drawn.split == "test"}
    expected: dict[str, set[str]] = {}
    in_test = {scan(drawn) for drawn in organized.plan.mammograms if drawn.split == "test"}
    whole = {scan(drawn) for drawn in organized.plan.mammograms if not (drawn.absent or drawn.truncated)}
    for drawn, finding in organized.lesions():
        if scan(drawn) in whole and (drawn.exposure.patient not in tested or scan(drawn) in in_test):
            expected.setdefault(scan(drawn), set()).add(finding.pathology)
    rows = organized.dataset.manifest.set_index("image_id")
    assert set(rows.index) == set(expected)
    for name, pathologies in expected.items():
        assert (rows.loc[name, "label"] == "malignant") == ("MALIGNANT" in pathologies), name
        assert (rows.loc[name, "split"] == "test") == (name in in_test), name


def test_faults_are_reported_by_name(organized: Organized) -> None:
    drawn_and_absent = {drawn.subject for drawn in organized.plan.mammograms if drawn.absent}
    assert set(organized.list_subjects("missing")) == drawn_and_absent | organized.lost_masks()
    assert organized.list_subjects("truncated") == [
        drawn.subject for drawn in organized.plan.mammograms if drawn.truncated
    ]
    assert len(organized.list_subjects("unreadable")) == sum(one.mask_unreadable for _, one in organized.lesions()) == 1
    assert organized.list_subjects("duplicate") == [
        one.subject for one in organized.plan.mammograms if one.twice_on_disk
    ]


def test_empty_masks_and_masks_of_another_size_are_reported(organized: Organized) -> None:
    usable = [
        (drawn, one)
        for drawn, one in organized.lesions()
        if not (drawn.absent or drawn.truncated or one.absent or one.mask_unreadable)
    ]
    empty = [drawn.format_lesion_subject(one) for drawn, one in usable if one.mask_empty]
    assert len(empty) == 1
    assert organized.list_subjects("bad-mask") == empty
    assert organized.list_subjects("mask-size") == sorted(
        drawn.format_lesion_subject(one) for drawn, one in usable if one.mask_scale != 1
    )
    rows = organized.dataset.manifest.set_index("image_id")
    unmasked = {
        scan(drawn) for drawn, one in organized.lesions() if one.absent or one.mask_unreadable or one.mask_empty
    }
    assert set(rows.index[rows["mask"] == ""]) == unmasked & set(rows.index)


def test_odd_values_and_headers_without_side_are_counted(organized: Organized) -> None:
    scales = ("density", "assessment", "subtlety")
    zeros = organized.account["census"]["values"]
    for scale in scales:
        assert zeros[scale]["0"] == sum(scale in one.odd_values for _, one in organized.lesions()) == 1
    assert organized.account["headers"]["without Laterality"] >= 1
    assert (
        organized.account["headers"]["without Laterality"] == organized.account["headers"]["without PatientOrientation"]
    )


def test_missing_tcia_requests_exactly_the_incomplete_series(organized: Organized) -> None:
    expected = set()
    for drawn in organized.plan.mammograms:
        if drawn.absent or drawn.truncated:
            expected.add(series.build_full_series(drawn).uid)
        for one in drawn.findings:
            if one.absent or one.mask_unreadable:
                expected |= {
                    lost.uid
                    for lost in series.build_lesion_series(drawn, one)
                    if one.absent or "mask" in lost.description.lower()
                }
    fetched = parse_manifest((organized.dataset.folder / "missing.tcia").read_text())
    assert set(fetched) == expected
    assert organized.account["series"]["to fetch again"] == len(expected)
    audit = (organized.dataset.folder / "audit.md").read_text()
    assert (
        f"wizard.py download --missing-from NAME`, with the name of this dataset, downloads these {len(expected)}"
        in audit
    )


def test_the_audit_agrees_with_an_independent_count(organized: Organized) -> None:
    with open(organized.dataset.folder / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for split, counted in organized.account["splits"].items():
        images = [row for row in rows if row["split"] == split]
        assert counted["images"] == len(list((organized.dataset.folder / split).rglob("*.*"))) == len(images)
        assert counted["women"] == len({row["patient_id"] for row in images})
        assert counted["with_mask"] == sum(
            (organized.dataset.folder / row["mask"]).is_file() for row in images if row["mask"]
        )
    promised = sum(counts["lesions_promised"] for counts in organized.account["download"].values())
    assert promised == sum(1 for _ in organized.lesions())
    assert all(proof["holds"] and proof["checked"] for proof in organized.account["proofs"])


def test_only_kaggles_copy_is_reported_as_8_bit(organized: Organized) -> None:
    assert ("8-bit JPEG" in organized.dataset.protocol) == (organized.plan.layout == "kaggle")
