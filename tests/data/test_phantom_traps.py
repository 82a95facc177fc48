"""Each of CBIS-DDSM's traps, planted alone in a small phantom download, and nothing else planted with it."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tfm.core.errors import SettingsError
from tfm.data.phantom import download
from tfm.data.phantom.cohort import plan_download
from tfm.data.phantom.spec import CsvForm, DownloadPlan, Mammogram
from tfm.data.phantom.traps import TRAPS, parse_traps


def plan(*traps: str, **changes: object) -> DownloadPlan:
    plain = {
        "train_women": 3, "test_women": 1, "kinds": ("mass", "calc"), "height": 256, "difficulty": 0.3,
        "traps": frozenset(traps), "shuffle_labels": False, "seed": 5,
    }  # fmt: skip
    return plan_download(**{**plain, **changes})


def written(out: Path, *traps: str, **changes: object) -> Path:
    list(download.write(plan(*traps, **changes), out))
    return out


def rows(out: Path, kind: str = "*") -> list[dict[str, str]]:
    found = []
    for path in sorted(out.glob(f"{kind}_case_description_*_set.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            found += csv.DictReader(file)
    return found


def headers(out: Path, kind: str) -> set[str]:
    return {path.read_text().splitlines()[0] for path in out.glob(f"{kind}_case_*.csv")}


def by_scan(out: Path) -> dict[str, list[dict[str, str]]]:
    scans: dict[str, list[dict[str, str]]] = {}
    for row in rows(out):
        scans.setdefault(row["image file path"], []).append(row)
    return scans


def series_folders(out: Path) -> list[Path]:
    root = out / download.MANIFEST
    with open(root / "metadata.csv", newline="", encoding="utf-8") as file:
        return [root / row["File Location"] for row in csv.DictReader(file)]


def masks_first(out: Path) -> list[bool]:
    firsts = [pydicom.dcmread(p.parent / "1-1.dcm", stop_before_pixels=True) for p in sorted(out.rglob("1-2.dcm"))]
    return [first.SeriesDescription == "ROI mask images" for first in firsts]


def mask_ratios(out: Path) -> list[float]:
    ratios = []
    for row in rows(out):
        (full,) = out.glob(f"*/*/{row['image file path'].split('/')[0]}/*/*/1-1.dcm")
        for path in out.glob(f"*/*/{row['ROI mask file path'].split('/')[0]}/*/*/*.dcm"):
            dataset = pydicom.dcmread(path)
            if dataset.BitsStored == 8:
                assert set(np.unique(dataset.pixel_array)) == {0, 255}
                ratios.append(round(dataset.Rows / pydicom.dcmread(full).Rows, 2))
    return ratios


def file_names(out: Path) -> set[str]:
    return {path.strip().split("/")[-1] for row in rows(out) for name, path in row.items() if "file path" in name}


def labels(scan: list[dict[str, str]]) -> set[bool]:
    return {row["pathology"] == "MALIGNANT" for row in scan}


def linefeed_in_paths(out: Path) -> bool:
    mass = all(row["ROI mask file path"].endswith("\n") for row in rows(out, "mass"))
    calc = all(row["cropped image file path"].endswith("\n") for row in rows(out, "calc"))
    return mass and calc


def density_header(out: Path) -> bool:
    assert all("breast_density" in header for header in headers(out, "mass"))
    return all("breast density" in header for header in headers(out, "calc"))


def wrong_file_names(out: Path) -> bool:
    return file_names(out) == {"000000.dcm", "000001.dcm"} and not list(out.rglob("00000*.dcm"))


def arbitrary_order(out: Path) -> bool:
    return len(set(masks_first(out))) == 2


def mask_size(out: Path) -> bool:
    return set(mask_ratios(out)) == {1.0, 0.87}


def several_lesions(out: Path) -> bool:
    ids = [
        tuple(int(row["abnormality id"]) for row in scan) for scan in by_scan(out).values() if len(labels(scan)) == 1
    ]
    return {(1, 2), (1, 3)} <= set(ids)


def mixed_labels(out: Path) -> bool:
    return any(len(labels(scan)) == 2 for scan in by_scan(out).values())


def both_splits(out: Path) -> bool:
    train = {row["patient_id"] for row in rows(out, "mass") if "-Training_" in row["image file path"]}
    test = {row["patient_id"] for row in rows(out, "calc") if "-Test_" in row["image file path"]}
    return bool(train & test)


def issued_twice(out: Path) -> bool:
    scans: dict[bytes, list[pydicom.Dataset]] = {}
    for path in out.rglob("*full mammogram*/1-1.dcm"):
        dataset = pydicom.dcmread(path, force=True)
        if "PixelData" in dataset:
            scans.setdefault(bytes(dataset.PixelData), []).append(dataset)
    twins = [twin for twin in scans.values() if len(twin) > 1]
    for one, other in twins:
        assert one.SOPInstanceUID != other.SOPInstanceUID
        assert one.SeriesInstanceUID != other.SeriesInstanceUID
        assert {one.PatientID[:4], other.PatientID[:4]} == {"Mass", "Calc"}
        assert one.PatientID.split("_")[1:] == other.PatientID.split("_")[1:]
    return bool(twins)


def missing_series(out: Path) -> bool:
    lost = [folder for folder in series_folders(out) if not folder.exists()]
    assert sum("full mammogram" in folder.name for folder in lost) in (0, 1)
    return len(lost) == 2


def truncated_file(out: Path) -> bool:
    sizes = {len(path.read_bytes()): path for path in out.rglob("*full mammogram*/1-1.dcm")}
    shortest = sizes[min(sizes)]
    dataset = pydicom.dcmread(shortest, stop_before_pixels=True)
    return shortest.stat().st_size < 1.1 * dataset.Rows * dataset.Columns


SIGNS: dict[str, Callable[[Path], bool]] = {
    "linefeed-in-paths": linefeed_in_paths,
    "density-header": density_header,
    "wrong-file-names": wrong_file_names,
    "arbitrary-order": arbitrary_order,
    "mask-size": mask_size,
    "several-lesions": several_lesions,
    "mixed-labels": mixed_labels,
    "both-splits": both_splits,
    "issued-twice": issued_twice,
    "missing-series": missing_series,
    "truncated-file": truncated_file,
}


def test_every_trap_has_a_sign_and_a_sentence():
    assert set(SIGNS) == set(TRAPS)
    assert all(sentence.endswith(".") and len(sentence) > 30 for sentence in TRAPS.values())


@pytest.mark.parametrize("trap", [*sorted(TRAPS), None])
def test_a_trap_plants_what_it_says_and_no_other(trap, tmp_path):
    out = written(tmp_path / "out", *([trap] if trap else []))
    # mask_ratios opens every mammogram, which a lost or cut one forbids.
    asked = [name for name in SIGNS if name != "mask-size" or trap not in ("missing-series", "truncated-file")]
    assert {name for name in asked if SIGNS[name](out)} == ({trap} if trap else set())


def test_without_traps_the_tables_are_plain(tmp_path):
    out = written(tmp_path)
    assert file_names(out) == {"1-1.dcm", "1-2.dcm"}
    assert all("breast_density" in header for kind in ("mass", "calc") for header in headers(out, kind))
    assert all(folder.exists() for folder in series_folders(out))
    for path in out.rglob("*.csv"):
        assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n")


def test_all_traps_stand_together(tmp_path):
    out = written(tmp_path, *TRAPS, train_women=6, test_women=2)
    readable = [name for name in SIGNS if name != "mask-size"]
    assert [name for name in readable if not SIGNS[name](out)] == []


def test_traps_of_form_leave_the_pixels_alone():
    def scans(of: DownloadPlan) -> list[Mammogram]:
        return [replace(m, findings=(), absent=False, truncated=False) for m in of.mammograms]

    form = ("linefeed-in-paths", "density-header", "wrong-file-names", "arbitrary-order", "mask-size",
            "missing-series", "truncated-file")  # fmt: skip
    assert scans(plan(*form)) == scans(plan())
    assert plan().csv == CsvForm()


def test_a_scan_issued_twice_is_one_scan_with_every_trap():
    women: dict[tuple[str, str, str], set[object]] = {}
    for m in plan(*TRAPS, train_women=8).mammograms:
        women.setdefault((m.exposure.patient, m.exposure.side, m.exposure.view), set()).add(m.exposure)
    assert all(len(exposures) == 1 for exposures in women.values())


def test_traps_are_parsed():
    assert parse_traps("none") == frozenset()
    assert parse_traps("all") == frozenset(TRAPS)
    assert parse_traps("mask-size, mixed-labels") == {"mask-size", "mixed-labels"}
    with pytest.raises(SettingsError, match="quicksand") as refused:
        parse_traps("mask-size,quicksand")
    assert all(name in refused.value.hint for name in TRAPS)


@pytest.mark.parametrize(
    ("trap", "changes"),
    [("both-splits", {"kinds": ("mass",)}), ("issued-twice", {"kinds": ("calc",)}),
     ("mixed-labels", {"train_women": 2, "test_women": 0}), ("missing-series", {"train_women": 1, "test_women": 0})],
)  # fmt: skip
def test_a_trap_without_ground_is_refused(trap, changes):
    with pytest.raises(SettingsError, match=trap):
        plan(trap, **changes)
