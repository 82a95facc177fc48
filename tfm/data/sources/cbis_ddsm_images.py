"""The images of CBIS-DDSM: its lesions as mammograms or crops, what its protocol and audit say, and its own checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from tfm.core.events import Note
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.data.dataset.lesion_masks import LesionMask, MaskFile
from tfm.data.dataset.lesions_to_images import (
    VIEW_KEY,
    Lesion,
    build_crop_table,
    build_mammogram_table,
    group_by_lesion,
    group_by_view,
)
from tfm.data.dataset.same_patients import ComparedFile, list_compared_files
from tfm.data.dataset.source_images import (
    IMAGE_COLUMNS,
    CollectionFacts,
    DatasetSettings,
    SourceImages,
    find_kinds,
)
from tfm.data.download.match_files import Catalog, format_lesion_subject, format_lesion_table
from tfm.data.download.notices import Notice
from tfm.data.sources import csv_summary
from tfm.data.sources.cbis_ddsm import IMAGE_KEY

ROLES = {"full": "image", "crops": "crop"}
FACTS = CollectionFacts(
    name="cbis-ddsm",
    title="CBIS-DDSM",
    labels="verified by pathology",
    licence="CC BY 3.0",
    citation="Lee R. S. et al., A curated mammography data set for use in computer-aided detection and diagnosis "
    "research, Scientific Data 4, 170177 (2017), doi:10.1038/sdata.2017.177",
)
_WITHOUT_CALLBACK = "benign without callback, left out by the settings"


@dataclass(frozen=True)
class CbisChoices:
    """The settings that only CBIS-DDSM has, except `lesions`: the catalog has only the kinds that were chosen."""

    images: Literal["full", "crops"] = "full"
    without_callback: Literal["benign", "left out"] = "benign"

    @property
    def role(self) -> str:
        """The role of the files that become images."""
        return ROLES[self.images]


@dataclass(frozen=True, kw_only=True)
class CbisImages(SourceImages):
    catalog: Catalog
    choices: CbisChoices

    claim_of_test: ClassVar[str] = "no patient of TCIA's test set is in train or val"
    claim_of_labels: ClassVar[str] = "an image is malignant exactly if one of its lesions is"
    claim_of_images: ClassVar[str] = "every image of the CSVs is in the dataset or left out by name"

    @property
    def what(self) -> str:  # type: ignore[override]
        return "crops" if self.choices.images == "crops" else "mammograms"

    def list_compared_files(self) -> list[list[ComparedFile]]:
        """Compare the mammograms too if the images are crops."""
        lesions = self.catalog.lesions
        scans = lesions[VIEW_KEY].agg("_".join, axis=1)
        return [
            list_compared_files(
                *(scans, lesions["patient_id"], lesions[f"{role}_file"]),
                *(lesions[f"{role}_rows"], lesions[f"{role}_columns"]),
            )
            for role in sorted({"image", self.choices.role})
        ]

    def has_test_images(self) -> bool:
        return self.catalog.has_test(self.choices.role)

    def describe_content(self, kept: pd.DataFrame) -> list[str]:
        kinds, changed = find_kinds(kept), int((kept["relabelled"] & (kept["split"] == "test")).sum())
        is_full = self.choices.images == "full"
        return [
            "+".join(kinds),
            "" if is_full else "crops",
            f"union labels ({changed} changed)" if len(kinds) > 1 and is_full else "",
        ]

    def describe_exclusions(self) -> list[str]:
        return ["without-callback left out"] if self.choices.without_callback == "left out" else []

    def describe_gaps(self, kept: pd.DataFrame) -> list[str]:
        absent = [one.subject for one in self.catalog.notices if one.kind == "no-csv" and one.subject.endswith(" test")]
        return [f"no CSV of {name}" for name in absent if name.split()[0] in find_kinds(kept)]

    def describe_settings(self, choices: DatasetSettings) -> dict[str, Any]:
        own, shared = asdict(self.choices), asdict(choices)
        order = ("images", "split", "without_callback", *shared)
        kinds = "+".join(sorted(set(self.catalog.lesions["kind"])))
        return {"lesions": kinds, **{name: (own | shared)[name] for name in order}}

    def describe_download(self) -> dict[str, Any]:
        counted = csv_summary.summarize_cases(self.catalog.lesions)
        return {
            "download": count_expected_and_found(self.catalog.lesions),
            "series": _count_series(self.catalog, counted["series the CSVs name"]["all"]),
            "headers": self.headers,
            "census": counted,
        }

    def report_gaps(self) -> Iterator[Note]:
        yield from (Note(f"{found.subject} {found.words}") for found in self.notices if found.kind == "note")
        absent = [found.subject for found in self.notices if found.kind == "no-csv"]
        if absent:
            yield Note(f"no cases for {', '.join(absent)}: only the others are used", "warning")
        lesions, role = self.catalog.lesions, self.choices.role
        rows = lesions if role == "crop" else lesions.drop_duplicates(IMAGE_KEY)
        lost = int((rows[f"{role}_file"] == "").sum())
        if lost:
            yield Note(
                f"{lost} of {len(rows)} {self.what} are missing or incomplete: results on the rest are less reliable",
                "warning",
            )

    def format_table(self, downloads: Sequence[Path]) -> str:
        return format_lesion_table(self.catalog, downloads)

    def list_series_to_fetch(self) -> list[str]:
        return self.catalog.list_series_to_fetch()

    def list_test_patients(self) -> set[str]:
        lesions = self.catalog.lesions
        return set(lesions.loc[lesions["split"] == "test", "patient_id"])

    def list_malignant_images(self) -> set[str]:
        lesions = self.catalog.lesions
        return set(self._name_images(lesions[lesions["pathology"] == "MALIGNANT"]))

    def list_images(self) -> set[str]:
        return set(self._name_images(self.catalog.lesions))

    def list_lesion_files(self) -> dict[str, set[str]]:
        return {role: set(self.catalog.lesions[f"{role}_file"]) - {""} for role in ("mask", "crop")}

    def _name_images(self, lesions: pd.DataFrame) -> pd.Series:
        """Return the image_id of each lesion."""
        scan = lesions[VIEW_KEY].agg("_".join, axis=1)
        if self.choices.images == "full":
            return scan
        return scan + "_" + lesions["kind"] + "_" + lesions["lesion_id"].astype(str)


def build_cbis_images(catalog: Catalog, choices: CbisChoices) -> CbisImages:
    is_full = choices.images == "full"
    build, group = (build_mammogram_table, group_by_view) if is_full else (build_crop_table, group_by_lesion)
    images, noticed = build(catalog.lesions)
    groups, role = group(catalog.lesions), choices.role
    # The first issue of the scan that has a complete file: all issues have the same pixels.
    sources = {
        name: next((one for one in lesions if one[f"{role}_file"]), lesions[0]) for name, lesions in groups.items()
    }
    files = {"source": "file", "sop_uid": "sop", "bytes": "bytes", "rows": "rows", "columns": "columns"}
    is_wanted = images["callback"] | (choices.without_callback == "benign")
    table = images.assign(
        scan=images[VIEW_KEY].agg("_".join, axis=1),
        excluded=is_wanted.map({True: "", False: _WITHOUT_CALLBACK}),
        **{
            ours: pd.Series([sources[name][f"{role}_{fact}"] for name in images["image_id"]], dtype=object)
            for ours, fact in files.items()
        },
        masks=images["image_id"].map(lambda name: _list_masks(groups[name], role)),
    )
    return CbisImages(
        facts=FACTS,
        table=table[[*IMAGE_COLUMNS, "relabelled"]],
        notices=catalog.notices,
        image_notices=[*noticed, *_compare_issues(sources, groups, role)],
        synthetic=catalog.synthetic,
        headers=catalog.headers,
        catalog=catalog,
        choices=choices,
    )


def _list_masks(lesions: list[Lesion], role: str) -> tuple[LesionMask, ...]:
    """Plan a mask only if all lesions have a mask file: in a mask, a missing lesion would be background.

    A crop has no mask: its position in the mammogram is not recorded.
    """
    if role == "crop" or not all(lesion["mask_file"] for lesion in lesions):
        return ()
    return tuple(
        LesionMask(
            subject=format_lesion_subject(lesion),
            outline=MaskFile(Path(lesion["mask_file"])),
            sop_uid=lesion["mask_sop"],
            size=lesion["mask_bytes"],
            pixel_class=encode_mask_class(lesion["kind"], lesion["pathology"]),
        )
        for lesion in lesions
    )


def _compare_issues(sources: dict[str, Lesion], groups: dict[str, list[Lesion]], role: str) -> list[Notice]:
    """Report scans that were issued twice and whose files differ in size; both files must exist."""
    findings = []
    for name, source in sources.items():
        issue = f"{source['kind']} {source['split']}"
        if issue != f"{groups[name][0]['kind']} {groups[name][0]['split']}":
            findings.append(Notice("repaired", name, f"the file of its {issue} issue is used"))
        here = [lesion for lesion in groups[name] if lesion[f"{role}_file"]]
        sizes = sorted({f"{one[f'{role}_rows']} × {one[f'{role}_columns']}" for one in here})
        if len(sizes) > 1:
            findings.append(Notice("odd-twin", name, f"its issues differ in size: {' and '.join(sizes)} pixels"))
    return findings


def count_expected_and_found(lesions: pd.DataFrame) -> dict[str, dict[str, int]]:
    counts = {}
    for kind, split in sorted(set(zip(lesions["kind"], lesions["split"], strict=True)), reverse=True):
        rows = lesions[(lesions["kind"] == kind) & (lesions["split"] == split)]
        images = rows.drop_duplicates(VIEW_KEY)
        counts[f"{kind} {split}"] = {
            "images_promised": len(images),
            "images_found": int((images["image_file"] != "").sum()),
            "lesions_promised": len(rows),
            "masks_found": int((rows["mask_file"] != "").sum()),
            "crops_found": int((rows["crop_file"] != "").sum()),
        }
    return counts


def _count_series(catalog: Catalog, named: int) -> dict[str, int]:
    counts = {"named by the CSVs": named, "to fetch again": len(catalog.list_series_to_fetch())}
    counts["in the download"] = catalog.series
    if catalog.listing is not None:
        counts["listed in metadata.csv"] = len(catalog.listing)
    return counts
