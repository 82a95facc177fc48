"""Each trap alone in a small phantom download."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.phantoms import Image, make_plan, read_case_rows, read_images, read_table, read_tree, write_phantom
from tfm.core.errors import SettingsError
from tfm.data.phantom.download_plan import CsvForm, DownloadPlan, Mammogram
from tfm.data.phantom.layouts import LAYOUTS
from tfm.data.phantom.traps import TRAPS, parse_traps

FULL, MASK, CROP = "full mammogram images", "ROI mask images", "cropped images"


class Disk:
    """A download, read once."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.rows = read_case_rows(out)
        self.images = read_images(out)

    def described(self, description: str) -> list[Image]:
        return [image for image in self.images if image.SeriesDescription == description]

    def descriptions(self, series: str) -> set[str]:
        return {image.SeriesDescription for image in self.images if image.SeriesInstanceUID == series}

    def scans(self) -> list[list[dict[str, str]]]:
        """The rows of each mammogram."""
        found: dict[str, list[dict[str, str]]] = {}
        for row in self.rows:
            found.setdefault(row["image file path"], []).append(row)
        return list(found.values())

    def headers(self, kind: str) -> set[str]:
        return {path.read_text().splitlines()[0] for path in self.out.rglob(f"{kind}_case_*.csv")}


def series(row: dict[str, str], column: str) -> str:
    return row[f"{column} file path"].split("/")[2]


def name(row: dict[str, str], column: str) -> str:
    return row[f"{column} file path"].split("/")[3].strip()


def labels(scan: list[dict[str, str]]) -> set[bool]:
    return {row["pathology"] == "MALIGNANT" for row in scan}


def linefeed_in_paths(disk: Disk) -> bool:
    mass = all(row["ROI mask file path"].endswith("\n") for row in disk.rows if "mass shape" in row)
    calc = all(row["cropped image file path"].endswith("\n") for row in disk.rows if "calc type" in row)
    return mass and calc


def density_header(disk: Disk) -> bool:
    assert all("breast_density" in header for header in disk.headers("mass"))
    return all("breast density" in header for header in disk.headers("calc"))


def wrong_file_names(disk: Disk) -> bool:
    """The CSVs name the mask of a calcification first and that of a mass second, whatever the files contain."""
    names = Counter()
    for row in disk.rows:
        if series(row, "cropped image") == series(row, "ROI mask"):
            names["mass" if "mass shape" in row else "calc", name(row, "cropped image"), name(row, "ROI mask")] += 1
    return set(names) == {("mass", "000000.dcm", "000001.dcm"), ("calc", "000001.dcm", "000000.dcm")}


def arbitrary_order(disk: Disk) -> bool:
    firsts = {image.path.parent: image for image in sorted(disk.images, key=lambda image: image.path, reverse=True)}
    pairs = [first for folder, first in firsts.items() if len(list(folder.iterdir())) == 2]
    return len({first.SeriesDescription == CROP for first in pairs}) == 2


def mask_size(disk: Disk) -> bool:
    full = {image.PatientID: image for image in disk.described(FULL)}
    whole = [mask for mask in disk.described(MASK) if mask.PatientID.rsplit("_", 1)[0] in full]
    ratios = {round(int(mask.Rows) / int(full[mask.PatientID.rsplit("_", 1)[0]].Rows), 2) for mask in whole}
    return ratios == {1.0, 0.87}


def several_lesions(disk: Disk) -> bool:
    ids = {tuple(int(row["abnormality id"]) for row in scan) for scan in disk.scans() if len(labels(scan)) == 1}
    return {(1, 2), (1, 3)} <= ids


def mixed_labels(disk: Disk) -> bool:
    return any(len(labels(scan)) == 2 for scan in disk.scans())


def both_splits(disk: Disk) -> bool:
    breasts: dict[str, set[tuple[str, str]]] = {"Mass-Training": set(), "Calc-Test": set()}
    for row in disk.rows:
        found = breasts.setdefault(row["image file path"].split("_")[0], set())
        found.add((row["patient_id"], row["left or right breast"]))
    other = {"LEFT": "RIGHT", "RIGHT": "LEFT"}
    return any((patient, other[side]) in breasts["Calc-Test"] for patient, side in breasts["Mass-Training"])


def issued_twice(disk: Disk) -> bool:
    return any(other.PatientID.startswith("Calc-Training_") for _, other in twins(disk))


def issued_across_splits(disk: Disk) -> bool:
    rows = {series(scan[0], "image"): scan for scan in disk.scans()}
    across = [twin for twin in twins(disk) if twin[1].PatientID.startswith("Calc-Test_")]
    for mass, calc in across:
        assert labels(rows[mass.SeriesInstanceUID]) != labels(rows[calc.SeriesInstanceUID])
    return bool(across)


def twins(disk: Disk) -> list[tuple[Image, Image]]:
    """Whole mammograms with the same pixels and other UIDs, that of the mass first."""
    scans: dict[bytes, dict[str, Image]] = {}
    for image in disk.described(FULL):
        if image.pixels is not None:
            scans.setdefault(image.pixels.tobytes(), {})[image.SOPInstanceUID] = image
    found = []
    for scan in scans.values():
        if len(scan) > 1:
            calc, mass = sorted(scan.values(), key=lambda image: image.PatientID)
            assert mass.SeriesInstanceUID != calc.SeriesInstanceUID
            assert mass.PatientID.startswith("Mass-Training_")
            assert calc.PatientID.startswith("Calc-")
            assert mass.PatientID.split("_")[1:] == calc.PatientID.split("_")[1:]
            found.append((mass, calc))
    return found


def missing_series(disk: Disk) -> bool:
    promised = {series(row, column) for row in disk.rows for column in ("image", "cropped image", "ROI mask")}
    for listing in disk.out.glob("manifest-phantom/metadata.csv"):
        assert promised == {row["Series UID"] for row in read_table(listing)}
    lost = promised - {image.SeriesInstanceUID for image in disk.images}
    assert sum(series(row, "image") in lost for row in disk.rows) in (0, 1, 2)
    return len(lost) == 2


def truncated_file(disk: Disk) -> bool:
    return [image.pixels is None for image in disk.described(FULL)].count(True) == 1


def duplicate_file(disk: Disk) -> bool:
    issued = Counter(image.SOPInstanceUID for image in disk.images if image.facts)
    twice = [image for image in disk.images if issued[image.SOPInstanceUID] > 1]
    if not twice:
        return False
    one, other = twice
    assert one.path.read_bytes() == other.path.read_bytes()
    assert one.SeriesDescription == FULL
    second = {i.path.relative_to(disk.out).parts[0] for i in twice} - {"manifest-phantom", "dicom", "jpeg"}
    return second in ({"again"}, {"manifest-phantom-2"})


def unreadable_file(disk: Disk) -> bool:
    return [image.path.read_bytes() for image in disk.images].count(bytes(4096)) == 1


def empty_mask(disk: Disk) -> bool:
    return [mask.pixels.max() for mask in disk.described(MASK) if mask.pixels is not None].count(0) == 1


def swapped_columns(disk: Disk) -> bool:
    apart = [row for row in disk.rows if series(row, "cropped image") != series(row, "ROI mask")]
    swapped = [row for row in apart if disk.descriptions(series(row, "cropped image")) == {MASK}]
    assert all(disk.descriptions(series(row, "ROI mask")) == {CROP} for row in swapped)
    return len(swapped) == 1


def separate_series(disk: Disk) -> bool:
    apart = [row for row in disk.rows if series(row, "cropped image") != series(row, "ROI mask")]
    right = [row for row in apart if disk.descriptions(series(row, "ROI mask")) == {MASK}]
    assert all(disk.descriptions(series(row, "cropped image")) == {CROP} for row in right)
    return 0 < len(right) < len(disk.rows)


def no_laterality(disk: Disk) -> bool:
    facts = {(bool(image.Laterality), bool(image.PatientOrientation)) for image in disk.images if image.facts}
    return facts == {(True, True), (False, False)}


def odd_values(disk: Disk) -> bool:
    density = [row.get("breast_density") or row["breast density"] for row in disk.rows]
    zeros = [
        column.count("0") for column in (density, *([r[c] for r in disk.rows] for c in ("assessment", "subtlety")))
    ]
    words = [[row.get(c, "") for row in disk.rows].count("N/A") for c in ("mass shape", "mass margins")]
    return zeros == [1, 1, 1] and words == [1, 1]


SIGNS: dict[str, Callable[[Disk], bool]] = {
    "linefeed-in-paths": linefeed_in_paths,
    "density-header": density_header,
    "wrong-file-names": wrong_file_names,
    "arbitrary-order": arbitrary_order,
    "mask-size": mask_size,
    "several-lesions": several_lesions,
    "mixed-labels": mixed_labels,
    "both-splits": both_splits,
    "issued-across-splits": issued_across_splits,
    "issued-twice": issued_twice,
    "missing-series": missing_series,
    "truncated-file": truncated_file,
    "duplicate-file": duplicate_file,
    "unreadable-file": unreadable_file,
    "empty-mask": empty_mask,
    "swapped-columns": swapped_columns,
    "separate-series": separate_series,
    "no-laterality": no_laterality,
    "odd-values": odd_values,
}


def test_every_trap_has_a_sign():
    assert set(SIGNS) == set(TRAPS)


@pytest.mark.parametrize("trap", [*sorted(TRAPS), None])
def test_each_trap_adds_only_its_own_sign(trap, tmp_path):
    disk = Disk(write_phantom(tmp_path, make_plan(*([trap] if trap else []))))
    assert {name for name, sign in SIGNS.items() if sign(disk)} == ({trap} if trap else set())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_traps_work_together_in_every_layout(layout, tmp_path):
    disk = Disk(write_phantom(tmp_path, make_plan(*TRAPS, layout=layout)))
    assert [name for name, sign in SIGNS.items() if not sign(disk)] == []


def test_without_traps_the_tables_are_plain(tmp_path):
    out = write_phantom(tmp_path, make_plan())
    names = {name(row, column) for row in read_case_rows(out) for column in ("image", "cropped image", "ROI mask")}
    assert names == {"1-1.dcm", "1-2.dcm"}
    for path in out.rglob("*.csv"):
        assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n")


@pytest.mark.parametrize("layout", ["nbia", "mirror", "kaggle"])
def test_a_copied_series_has_the_structure_of_the_original(layout, tmp_path):
    held = read_tree(write_phantom(tmp_path, make_plan("duplicate-file", layout=layout)))
    second = {"mirror": "again/", "kaggle": "again/"}.get(layout, "manifest-phantom-2/")
    first = {"mirror": "", "kaggle": ""}.get(layout, "manifest-phantom/")
    again = {path.removeprefix(second): content for path, content in held.items() if path.startswith(second)}
    listings = [path for path in again if path.endswith(".csv")]
    assert listings == {"mirror": [], "kaggle": ["csv/dicom_info.csv"]}.get(layout, ["metadata.csv"])
    for path, content in again.items():
        if path in listings:
            header, row, rest = content.decode().split("\n")
            assert rest == ""
            assert [header, row] == [line for line in held[first + path].decode().split("\n") if line in (header, row)]
        else:
            assert held[first + path] == content
    assert len(again) == len(listings) + 1


def test_traps_in_files_and_csvs_do_not_change_the_pixels():
    def scans(of: DownloadPlan) -> list[Mammogram]:
        return [
            replace(m, findings=(), absent=False, truncated=False, twice_on_disk=False, no_laterality=False)
            for m in of.mammograms
        ]

    form = ("linefeed-in-paths", "density-header", "wrong-file-names", "arbitrary-order", "mask-size",
            "missing-series", "truncated-file", "duplicate-file", "unreadable-file", "empty-mask", "separate-series",
            "swapped-columns", "no-laterality", "odd-values")  # fmt: skip
    assert scans(make_plan(*form, train_women=4)) == scans(make_plan(train_women=4))
    assert make_plan().csv == CsvForm()


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
     ("issued-across-splits", {"kinds": ("mass",)}),
     ("mixed-labels", {"train_women": 2, "test_women": 0}), ("missing-series", {"train_women": 1, "test_women": 0}),
     ("odd-values", {"train_women": 1, "test_women": 0})],
)  # fmt: skip
def test_a_trap_without_a_suitable_place_is_refused(trap, changes):
    with pytest.raises(SettingsError, match=trap):
        make_plan(trap, **changes)
