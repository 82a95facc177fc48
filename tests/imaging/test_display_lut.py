"""Windows and tables of a header are obeyed, and stretched by what it says can be, never by what the image holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from tests.imaging.dicom_files import PIXELS, compressed, dataset, jpeg_lossless, saved
from tfm.core.errors import DataError
from tfm.imaging.read_image import read_pixels

SIGNED = PIXELS.astype(np.int16) - 2048
WHITE = 65535


def table(*values: int, first: int = 0, bits: int = 12) -> pydicom.Sequence:
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [len(values) % 2**16, first, bits], list(values)
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item["LUTData"].VR = "US"
    return pydicom.Sequence([item])


CURVE = [int(4095 * (entry / 4095) ** 2) for entry in range(4096)]


def outputs(made: pydicom.Dataset) -> tuple[float, float]:
    """Between what pydicom's values lie."""
    if "VOILUTSequence" in made:
        return 0, 4095
    if "ModalityLUTSequence" in made:
        return 0, WHITE
    ends = np.array([0, 4095]) * float(made.get("RescaleSlope", 1)) + float(made.get("RescaleIntercept", 0))
    return ends.min(), ends.max()


@pytest.mark.parametrize(
    "said",
    [
        {"WindowCenter": 2000, "WindowWidth": 1000},
        {"WindowCenter": [2000, 100], "WindowWidth": [1000, 50]},
        {"WindowCenter": 2000, "WindowWidth": 1},
        {"WindowCenter": 2000.25, "WindowWidth": 0.5, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 1500, "WindowWidth": 900, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 1500, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"},
        {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 3000, "WindowWidth": 2000},
        {"RescaleSlope": -1, "RescaleIntercept": 4095},
        {"RescaleSlope": 0.5, "RescaleIntercept": 7},
        {"VOILUTSequence": table(*CURVE)},
        {"VOILUTSequence": table(*CURVE[:2000], first=700), "WindowCenter": 9, "WindowWidth": 9},
        {"ModalityLUTSequence": table(*[16 * value for value in CURVE], bits=16)},
        {"ModalityLUTSequence": table(*[16 * n for n in CURVE], bits=16), "WindowCenter": 30000, "WindowWidth": 20000},
    ],
    ids=lambda said: "-".join(said),
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_the_greys_are_those_of_pydicoms_own_way(said: dict[str, object], syntax: str, tmp_path: Path) -> None:
    made = dataset(**said)
    if syntax == RLELossless:
        made.compress(syntax)
    path = saved(made, tmp_path)
    low, high = outputs(made)
    plain = apply_voi_lut(apply_modality_lut(PIXELS, made), made)
    read = read_pixels(path)
    assert read.dtype == np.uint16
    off = 16 if "Rescale" in str(said) else 1  # without a window the bits are shifted up, and 4095 is 65520
    assert np.abs(read - (plain.astype(float) - low) / (high - low) * WHITE).max() <= off


def test_the_least_of_signed_values_is_black(tmp_path: Path) -> None:
    def counted(values: np.ndarray) -> np.ndarray:
        return values.astype(int) - values.min()

    np.testing.assert_array_equal(read_pixels(saved(dataset(SIGNED), tmp_path)), counted(SIGNED) << 4)
    np.testing.assert_array_equal(read_pixels(saved(dataset(SIGNED // 2), tmp_path)), counted(SIGNED // 2) << 4)
    above = np.abs(SIGNED)
    np.testing.assert_array_equal(read_pixels(saved(dataset(above), tmp_path)), counted(above) << 4)
    whole = read_pixels(saved(dataset(SIGNED, bits=16), tmp_path))
    np.testing.assert_array_equal(whole, counted(SIGNED))
    bytes_ = (SIGNED // 16).astype(np.int8)
    np.testing.assert_array_equal(read_pixels(saved(dataset(bytes_), tmp_path)), counted(bytes_))


def test_signed_values_are_windowed_by_their_values(tmp_path: Path) -> None:
    read = read_pixels(saved(dataset(SIGNED, WindowCenter=0, WindowWidth=1000), tmp_path))
    np.testing.assert_array_equal(read == 0, SIGNED <= -500)
    np.testing.assert_array_equal(read == WHITE, SIGNED >= 499)
    negative = read_pixels(saved(dataset(SIGNED, VOILUTSequence=table(0, 100, 4095, first=-300)), tmp_path))
    np.testing.assert_array_equal(negative == 0, SIGNED <= -300)
    np.testing.assert_array_equal(negative == WHITE, SIGNED >= -298)


def test_signed_values_without_their_sign_extended_are_the_same(tmp_path: Path) -> None:
    """As JPEG Lossless gives them: -1 of 12 bits is 4095."""
    twelve = SIGNED.astype(np.uint16) & 0x0FFF
    made = compressed("1.2.840.10008.1.2.4.70", jpeg_lossless(twelve), pixels=SIGNED)
    np.testing.assert_array_equal(read_pixels(saved(made, tmp_path)), (SIGNED.astype(int) - SIGNED.min()) << 4)


@pytest.mark.parametrize(
    "said",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},  # one thing said twice
    ],
)
def test_where_0_is_white_the_image_is_turned_once(said: dict[str, str], tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_pixels(saved(dataset(**said), tmp_path)), (4095 - PIXELS) << 4)
    turned = (SIGNED.max() - SIGNED.astype(int)) << 4
    np.testing.assert_array_equal(read_pixels(saved(dataset(SIGNED, **said), tmp_path)), turned)
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    straight = read_pixels(saved(dataset(**window), tmp_path))
    np.testing.assert_array_equal(read_pixels(saved(dataset(**window, **said), tmp_path)), WHITE - straight)


def test_an_image_of_darker_film_is_not_stretched_to_look_brighter(tmp_path: Path) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    dark = read_pixels(saved(dataset(PIXELS // 8, **window), tmp_path))
    assert dark.max() < WHITE / 7


def test_identity_rescale_and_whole_bits_leave_every_value_alone(tmp_path: Path) -> None:
    path = saved(dataset(PIXELS * 16, bits=16, RescaleSlope=1, RescaleIntercept=0), tmp_path)
    np.testing.assert_array_equal(read_pixels(path), PIXELS * 16)


def test_eight_bits_with_a_window_become_sixteen(tmp_path: Path) -> None:
    pixels = PIXELS.astype(np.uint8)
    read = read_pixels(saved(dataset(pixels, WindowCenter=128, WindowWidth=256), tmp_path))
    np.testing.assert_array_equal(read, pixels.astype(np.uint16) * 257)


def test_tables_in_words_of_either_byte_order_and_in_single_bytes_are_read(tmp_path: Path) -> None:
    pixels = (PIXELS % 4).astype(np.uint8)
    wanted = np.array([0, 10, 100, 255], np.uint16)[pixels] * 257
    for syntax, data in (
        (ExplicitVRLittleEndian, np.array([0, 10, 100, 255], "<u2").tobytes()),
        (ExplicitVRBigEndian, np.array([0, 10, 100, 255], ">u2").tobytes()),
        (ExplicitVRLittleEndian, bytes([0, 10, 100, 255])),
    ):
        sequence = table(0, 0, 0, 0, bits=8)
        sequence[0].LUTData = data
        sequence[0]["LUTData"].VR = "OW"
        made = dataset(pixels, syntax, VOILUTSequence=sequence)
        made["PixelData"].VR = "OB"
        np.testing.assert_array_equal(read_pixels(saved(made, tmp_path)), wanted)


def groups(**said: float) -> pydicom.Sequence:
    window, item = pydicom.Dataset(), pydicom.Dataset()
    for name, value in said.items():
        setattr(window, name, value)
    item.FrameVOILUTSequence = pydicom.Sequence([window])
    return pydicom.Sequence([item])


def test_each_frame_of_tomosynthesis_has_its_window_or_that_of_all(tmp_path: Path) -> None:
    frames = np.stack([PIXELS, PIXELS])
    one, other = groups(WindowCenter=1000, WindowWidth=500)[0], groups(WindowCenter=3000, WindowWidth=500)[0]
    made = dataset(frames, PerFrameFunctionalGroupsSequence=pydicom.Sequence([one, other]))
    path = saved(made, tmp_path)
    np.testing.assert_array_equal(read_pixels(path, 1) == WHITE, PIXELS >= 1249)
    np.testing.assert_array_equal(read_pixels(path, 2) == WHITE, PIXELS >= 3249)
    shared = dataset(frames, SharedFunctionalGroupsSequence=groups(WindowCenter=2000, WindowWidth=500))
    np.testing.assert_array_equal(read_pixels(saved(shared, tmp_path), 2) == WHITE, PIXELS >= 2249)


def palette(**colours: list[int]) -> dict[str, object]:
    said: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, values in colours.items():
        said[f"{colour}PaletteColorLookupTableDescriptor"] = [len(values), 0, 16]
        said[f"{colour}PaletteColorLookupTableData"] = np.array(values, "<u2").tobytes()
    return said


def test_a_palette_of_greys_is_grey_and_one_of_colours_is_refused(tmp_path: Path) -> None:
    pixels, greys = (PIXELS % 4).astype(np.uint8), [0, 70, 30000, 65535]
    read = read_pixels(saved(dataset(pixels, **palette(Red=greys, Green=greys, Blue=greys)), tmp_path))
    np.testing.assert_array_equal(read, np.array(greys)[pixels])
    with pytest.raises(DataError, match="colour"):
        read_pixels(saved(dataset(pixels, **palette(Red=greys, Green=greys, Blue=greys[::-1])), tmp_path))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"RescaleSlope": 0, "RescaleIntercept": 3}, "slope"),
        ({"WindowCenter": 100, "WindowWidth": 0}, "0 wide"),
        ({"WindowCenter": 100, "WindowWidth": -5, "VOILUTFunction": "SIGMOID"}, "-5 wide"),
        ({"WindowCenter": 100, "WindowWidth": 9, "VOILUTFunction": "GAMMA"}, "GAMMA"),
        ({"WindowCenter": 90000, "WindowWidth": 9}, "one grey"),
        ({"VOILUTSequence": table(0, 5000)}, "12 bits"),
        ({"VOILUTSequence": pydicom.Sequence([pydicom.Dataset()])}, "empty"),
    ],
)
def test_a_window_or_table_that_shows_nothing_is_refused(said: dict[str, object], reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read_pixels(saved(dataset(**said), tmp_path))


def test_a_table_shorter_than_it_says_is_refused(tmp_path: Path) -> None:
    short = table(*CURVE[:100])
    short[0].LUTDescriptor = [4096, 0, 12]
    with pytest.raises(DataError, match="100 entries where it says 4096"):
        read_pixels(saved(dataset(VOILUTSequence=short), tmp_path))
