"""What a DICOM header asks to be done with stored values before they are shown: its windows and lookup tables.

All of it acts on single values, so it becomes one table over every value that can be stored.
"""

from __future__ import annotations

import math

import numpy as np
from pydicom import Dataset

from tfm.imaging.decoded_image import ONE_GREY_IMAGE, UnreadableError

_WHITE = 65535
_PALETTES = ("Red", "Green", "Blue")


def build_display_lut(header: Dataset, index: int, bits: int, signed: bool) -> np.ndarray | None:
    """(2**bits,) uint16: stored value, counted from the least that can be stored → grey over the whole range.
    None where the header asks for nothing, so that nothing is spent on it."""
    modality = _said_of(header, index, "PixelValueTransformationSequence")
    window = _said_of(header, index, "FrameVOILUTSequence")
    has_lut, has_window = bool(window.get("VOILUTSequence")), _has_numbers(window, "WindowCenter", "WindowWidth")
    slope, _ = _rescale(modality)
    if not (has_lut or has_window or modality.get("ModalityLUTSequence") or slope < 0):
        return None  # a rising rescale changes no grey once its range is stretched over ours
    least = -(1 << (bits - 1)) if signed else 0
    values, low, high = _modality_values(modality, np.arange(least, least + (1 << bits), dtype=np.float64))
    if has_lut:
        values, low, high = _looked_up(values, window.VOILUTSequence[0])
        shares = (values - low) / (high - low)
    elif has_window:
        shares = _windowed(values, window)
    else:
        shares = (values - low) / (high - low)
    return _greys(shares)


def build_palette_lut(header: Dataset, bits: int) -> np.ndarray | None:
    """The same table for an image of palette colours. None where they are not all greys."""
    names = [f"{colour}PaletteColorLookupTable" for colour in _PALETTES]
    if not all(header.get(f"{name}Data") and header.get(f"{name}Descriptor") for name in names):
        return None
    stored = np.arange(1 << bits, dtype=np.float64)
    red, green, blue = (_entries_at(stored, header, f"{name}Descriptor", f"{name}Data") for name in names)
    if not (np.array_equal(red[0], green[0]) and np.array_equal(red[0], blue[0])):
        return None
    return _greys(red[0] / red[1])


def _said_of(header: Dataset, index: int, group: str) -> Dataset:
    """Where it is said: enhanced files (tomosynthesis) say it of one frame or of all, others once."""
    for groups, item in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        listed = header.get(groups) or []
        if item < len(listed) and listed[item].get(group):
            said: Dataset = listed[item][group].value[0]
            return said
    return header


def _has_numbers(said: Dataset, *names: str) -> bool:
    return all(said.get(name) not in (None, "") for name in names)


def _number(said: Dataset, name: str) -> float:
    """The first, where several are given as alternatives."""
    value = said[name].value
    number = float(value[0] if said[name].VM > 1 else value)
    if not math.isfinite(number):
        raise UnreadableError(f"{name} is {number} in the header")
    return number


def _rescale(said: Dataset) -> tuple[float, float]:
    if not _has_numbers(said, "RescaleSlope", "RescaleIntercept"):
        return 1.0, 0.0
    slope, intercept = _number(said, "RescaleSlope"), _number(said, "RescaleIntercept")
    if slope == 0:
        raise UnreadableError("the rescale slope of the header is 0, which leaves one grey")
    return slope, intercept


def _modality_values(said: Dataset, stored: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The values that windows are about, and between what they can lie."""
    if said.get("ModalityLUTSequence"):
        return _looked_up(stored, said.ModalityLUTSequence[0])
    slope, intercept = _rescale(said)
    values = stored * slope + intercept
    return values, float(values.min()), float(values.max())


def _looked_up(values: np.ndarray, item: Dataset) -> tuple[np.ndarray, float, float]:
    if not item.get("LUTDescriptor") or "LUTData" not in item:
        raise UnreadableError("a lookup table of the header is empty")
    found, most = _entries_at(values, item, "LUTDescriptor", "LUTData")
    return found, 0.0, most


def _entries_at(values: np.ndarray, said: Dataset, descriptor: str, data: str) -> tuple[np.ndarray, float]:
    """What a table holds for each value, and the most it can hold."""
    count, first, bits = (int(number) for number in said[descriptor].value)
    count = count & 0xFFFF or 2**16
    if values.min() >= 0:
        first &= 0xFFFF
    elif first > 0x7FFF:
        first -= 2**16
    entries = _entries(said, data, count)
    if not 8 <= bits <= 16 or int(entries.max()) >= 2**bits:
        raise UnreadableError(f"a lookup table of the header says {bits} bits, and holds {int(entries.max())}")
    places = np.clip(np.rint(values) - first, 0, count - 1).astype(np.intp)
    return entries[places].astype(np.float64), float(2**bits - 1)


def _entries(said: Dataset, data: str, count: int) -> np.ndarray:
    value, (_, is_little_endian) = said[data].value, said.original_encoding
    if not isinstance(value, bytes):
        entries = np.atleast_1d(np.array(value)).astype(np.int64) & 0xFFFF
    elif len(value) < 2 * count:  # entries of 8 bits may stand two to a word
        entries = np.frombuffer(value, np.uint8)
    else:
        entries = np.frombuffer(value, "<u2" if is_little_endian else ">u2")
    if len(entries) < count:
        raise UnreadableError(f"a lookup table of the header has {len(entries)} entries where it says {count}")
    return entries[:count]


def _windowed(values: np.ndarray, said: Dataset) -> np.ndarray:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, as shares of the range."""
    center, width = _number(said, "WindowCenter"), _number(said, "WindowWidth")
    function = str(said.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UnreadableError(f"a window of the unknown kind {function}", ONE_GREY_IMAGE)
    if width < 1 if function == "LINEAR" else width <= 0:
        raise UnreadableError(f"the window of the header is {width:g} wide")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0, 1)


def _greys(shares: np.ndarray) -> np.ndarray:
    greys: np.ndarray = np.rint(shares * _WHITE).astype(np.uint16)
    return greys
