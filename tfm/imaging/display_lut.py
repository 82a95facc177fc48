"""Turn the windows and lookup tables of a DICOM header into one table from stored values to 16-bit greys.
The pixels themselves are read in `dicom`."""

from __future__ import annotations

import math

import numpy as np
from pydicom import Dataset

from tfm.imaging.reader_common import ONE_GREY_IMAGE, UnreadableError


def build_display_lut(header: Dataset, index: int, bits: int, signed: bool) -> np.ndarray | None:
    """Return (2**bits,) uint16: stored value, counted from the lowest possible → grey over the full range.

    None if the header asks for nothing.
    """
    modality = _find_group(header, index, "PixelValueTransformationSequence")
    window = _find_group(header, index, "FrameVOILUTSequence")
    has_lut, has_window = bool(window.get("VOILUTSequence")), _has_values(window, "WindowCenter", "WindowWidth")
    slope, intercept = _read_rescale(modality)
    if not (has_lut or has_window or modality.get("ModalityLUTSequence") or slope < 0):
        return None  # a rising rescale changes nothing once its range is stretched to the full range
    lowest = -(1 << (bits - 1)) if signed else 0
    values = np.arange(lowest, lowest + (1 << bits), dtype=np.float64)
    if modality.get("ModalityLUTSequence"):
        values, low, high = _apply_lut(values, modality.ModalityLUTSequence[0])
    else:
        values = values * slope + intercept
        low, high = float(values.min()), float(values.max())
    if has_lut:
        values, low, high = _apply_lut(values, window.VOILUTSequence[0])
    elif has_window:
        return _scale_to_grey(_apply_window(values, window))
    return _scale_to_grey((values - low) / (high - low))


def build_palette_lut(header: Dataset, bits: int) -> np.ndarray | None:
    """The same table for an image with a colour palette; None unless all its colours are grey."""
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    if not all(header.get(f"{name}Data") and header.get(f"{name}Descriptor") for name in names):
        return None
    stored = np.arange(1 << bits, dtype=np.float64)
    red, green, blue = (_look_up(stored, header, f"{name}Descriptor", f"{name}Data") for name in names)
    if not (np.array_equal(red[0], green[0]) and np.array_equal(red[0], blue[0])):
        return None
    return _scale_to_grey(red[0] / red[1])


def _find_group(header: Dataset, index: int, group: str) -> Dataset:
    """Find where a sequence is: enhanced files (tomosynthesis) have it per frame or shared, others in the header."""
    for groups, item in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        listed = header.get(groups) or []
        if item < len(listed) and listed[item].get(group):
            found: Dataset = listed[item][group].value[0]
            return found
    return header


def _has_values(dataset: Dataset, *names: str) -> bool:
    return all(dataset.get(name) not in (None, "") for name in names)


def _read_number(dataset: Dataset, name: str) -> float:
    """Read a number; of several alternatives, the first."""
    value = dataset[name].value
    number = float(value[0] if dataset[name].VM > 1 else value)
    if not math.isfinite(number):
        raise UnreadableError(f"{name} is {number} in the header")
    return number


def _read_rescale(dataset: Dataset) -> tuple[float, float]:
    if not _has_values(dataset, "RescaleSlope", "RescaleIntercept"):
        return 1.0, 0.0
    slope, intercept = _read_number(dataset, "RescaleSlope"), _read_number(dataset, "RescaleIntercept")
    if slope == 0:
        raise UnreadableError("the rescale slope of the header is 0, which makes the image one grey value")
    return slope, intercept


def _apply_lut(values: np.ndarray, item: Dataset) -> tuple[np.ndarray, float, float]:
    if not item.get("LUTDescriptor") or "LUTData" not in item:
        raise UnreadableError("a lookup table of the header is empty")
    entries, largest = _look_up(values, item, "LUTDescriptor", "LUTData")
    return entries, 0.0, largest


def _look_up(values: np.ndarray, dataset: Dataset, descriptor: str, data: str) -> tuple[np.ndarray, float]:
    """Return the table's entry for each value, and the largest possible entry."""
    count, first, bits = (int(number) for number in dataset[descriptor].value)
    count = count & 0xFFFF or 2**16
    if values.min() >= 0:
        first &= 0xFFFF
    elif first > 0x7FFF:
        first -= 2**16
    entries = _read_entries(dataset, data, count)
    if not 8 <= bits <= 16 or int(entries.max()) >= 2**bits:
        raise UnreadableError(f"a lookup table of the header claims {bits} bits but contains {int(entries.max())}")
    places = np.clip(np.rint(values) - first, 0, count - 1).astype(np.intp)
    return entries[places].astype(np.float64), float(2**bits - 1)


def _read_entries(dataset: Dataset, data: str, count: int) -> np.ndarray:
    value, (_, is_little_endian) = dataset[data].value, dataset.original_encoding
    if not isinstance(value, bytes):
        entries = np.atleast_1d(np.array(value)).astype(np.int64) & 0xFFFF
    elif len(value) < 2 * count:  # 8-bit entries may be stored two to a word
        entries = np.frombuffer(value, np.uint8)
    else:
        entries = np.frombuffer(value, "<u2" if is_little_endian else ">u2")
    if len(entries) < count:
        raise UnreadableError(f"a lookup table of the header claims {count} entries but has {len(entries)}")
    return entries[:count]


def _apply_window(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Apply a window by DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3; return shares of the range."""
    center, width = _read_number(dataset, "WindowCenter"), _read_number(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UnreadableError(f"the window function {function} is unknown", ONE_GREY_IMAGE)
    if width < 1 if function == "LINEAR" else width <= 0:
        raise UnreadableError(f"the window of the header has the width {width:g}")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0, 1)


def _scale_to_grey(shares: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(shares * 65535).astype(np.uint16))
