"""What the files of a dataset are: maker, polarity, bit depth and more, counted over a sample of their headers.
Pixels are not read. What a single new file says about its patient is in `new_images`."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pydicom
from PIL import Image

from tfm.core.events import Event, Progress
from tfm.core.randomness import seed_at
from tfm.data.dataset.dataset import Dataset

FACTS = {  # by name: the words of a table
    "format": "file format",
    "maker": "device maker",
    "origin": "made by",
    "polarity": "grey values",
    "bits": "bits per pixel",
    "spacing": "pixel spacing",
    "rows": "height in pixels",
}
_MOST_FILES = 100  # enough for what most files of a dataset have in common
_SIZE_STEP = 500  # pixels: heights are grouped
_UNKNOWN = "not in the file"
_TAGS = (
    *("Manufacturer", "SOPClassUID", "ConversionType", "PhotometricInterpretation", "BitsStored", "Rows"),
    *("ImagerPixelSpacing", "PixelSpacing"),
)
_DIGITAL = "1.2.840.10008.5.1.4.1.1.1"  # X-ray and mammography images of digital detectors
_POLARITIES = {"MONOCHROME1": "inverted (MONOCHROME1)", "MONOCHROME2": "MONOCHROME2"}
_BITS_OF_MODE = {"1": "1", "L": "8", "RGB": "8", "I;16": "16", "I;16B": "16", "I": "16"}

FileFacts = dict[str, Counter[str]]  # by the names of FACTS: how many files have which value


def read_file_facts(dataset: Dataset, *splits: str) -> Generator[Event, None, FileFacts]:
    """Read the headers of some images of these splits. Names decide which, so that they are the same every time."""
    images = dataset.manifest[dataset.manifest["split"].isin(splits)]
    file_of = dict(zip(images["image_id"], images["file"], strict=True))
    chosen = sorted(file_of, key=lambda name: seed_at("file facts", name))[:_MOST_FILES]
    found: FileFacts = {name: Counter() for name in FACTS}
    for done, name in enumerate(chosen, 1):
        for fact, value in _read_facts(dataset.path(file_of[name])).items():
            found[fact][value] += 1
        yield Progress(f"headers of {dataset.folder.name}", done, len(chosen), "files")
    return found


def _read_facts(path: Path) -> dict[str, str]:
    """A file that cannot be read has no facts: preprocessing reports it."""
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(Exception):  # pydicom and PIL raise many types
        return dict.fromkeys(FACTS, _UNKNOWN) | dict(_list_facts(path))
    return {}


def _list_facts(path: Path) -> Iterator[tuple[str, str]]:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*_TAGS])
    except pydicom.errors.InvalidDicomError:
        with Image.open(path) as image:
            yield "format", str(image.format)
            yield "bits", _BITS_OF_MODE.get(image.mode, image.mode)
            yield "rows", _round_size(image.height)
        return
    texts = {tag: str(header.get(tag) or "").strip("\0 ") for tag in _TAGS}
    yield "format", "DICOM"
    yield "maker", texts["Manufacturer"] or _UNKNOWN
    yield "origin", _describe_origin(texts)
    yield "polarity", _POLARITIES.get(texts["PhotometricInterpretation"], texts["PhotometricInterpretation"])
    yield "bits", texts["BitsStored"]
    yield "rows", _round_size(int(texts["Rows"]))
    spacing = header.get("ImagerPixelSpacing") or header.get("PixelSpacing")
    yield "spacing", f"{float(spacing[0]):.3f} mm" if spacing else _UNKNOWN


def _describe_origin(texts: dict[str, str]) -> str:
    if texts["ConversionType"] in ("DF", "SD"):
        return "a scanner of film or paper"
    return "a digital detector" if texts["SOPClassUID"].startswith(_DIGITAL) else "secondary capture, as of film"


def _round_size(rows: int) -> str:
    return f"about {max(_SIZE_STEP, round(rows / _SIZE_STEP) * _SIZE_STEP)}" if rows >= _SIZE_STEP else str(rows)
