"""Windows and tables of a header are applied over the range the header allows, not the range of the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from tests.imaging.dicom_files import PIXELS, build_compressed, build_dataset, encode_jpeg_lossless, save_dicom
from tfm.core.errors import DataError
from tfm.imaging.read_image import read_pixels

SIGNED = PIXELS.astype(np.int16) - 2048
WHITE = 65535


def build_table(*values: int, first: int = 0, bits: int = 12) -> pydicom.Sequence:
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [len(values) % 2**16, first, bits], list(values)
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item["LUTData"].VR = "US"
    return pydicom.Sequence([item])


CURVE = [int(4095 * (entry / 4095) ** 2) for entry in range(4096)]


def find_output_range(made: pydicom.Dataset) -> tuple[float, float]:
    """Return the lowest and highest possible value of pydicom's result."""
    if "VOILUTSequence" in made:
        return 0, 4095
    if "ModalityLUTSequence" in made:
        return 0, WHITE
    ends = np.array([0, 4095]) * float(made.get("RescaleSlope", 1)) + float(made.get("RescaleIntercept", 0))
    return ends.min(), ends.max()


@pytest.mark.parametrize(
    "header",
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
        {"VOILUTSequence": build_table(*CURVE)},
        {"VOILUTSequence": build_table(*CURVE[:2000], first=700), "WindowCenter": 9, "WindowWidth": 9},
        {"ModalityLUTSequence": build_table(*[16 * value for value in CURVE], bits=16)},
        {
            "ModalityLUTSequence": build_table(*[16 * n for n in CURVE], bits=16),
            "WindowCenter": 30000,
            "WindowWidth": 20000,
        },
    ],
    ids=lambda header: "-".join(header),
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_greys_equal_those_of_pydicom(header: dict[str, object], syntax: str, tmp_path: Path) -> None:
    made = build_dataset(**header)
    if syntax == RLELossless:
        made.compress(syntax)
    path = save_dicom(made, tmp_path)
    low, high = find_output_range(made)
    plain = apply_voi_lut(apply_modality_lut(PIXELS, made), made)
    read = read_pixels(path)
    assert read.dtype == np.uint16
    off = 16 if "Rescale" in str(header) else 1  # without a window the bits are shifted up: 4095 becomes 65520
    assert np.abs(read - (plain.astype(float) - low) / (high - low) * WHITE).max() <= off


def test_lowest_signed_value_is_black(tmp_path: Path) -> None:
    def counted(values: np.ndarray) -> np.ndarray:
        return values.astype(int) - values.min()

    np.testing.assert_array_equal(read_pixels(save_dicom(build_dataset(SIGNED), tmp_path)), counted(SIGNED) << 4)
    np.testing.assert_array_equal(
        read_pixels(save_dicom(build_dataset(SIGNED // 2), tmp_path)), counted(SIGNED // 2) << 4
    )
    above = np.abs(SIGNED)
    np.testing.assert_array_equal(read_pixels(save_dicom(build_dataset(above), tmp_path)), counted(above) << 4)
    whole = read_pixels(save_dicom(build_dataset(SIGNED, bits=16), tmp_path))
    np.testing.assert_array_equal(whole, counted(SIGNED))
    bytes_ = (SIGNED // 16).astype(np.int8)
    np.testing.assert_array_equal(read_pixels(save_dicom(build_dataset(bytes_), tmp_path)), counted(bytes_))


def test_windows_apply_to_signed_values(tmp_path: Path) -> None:
    read = read_pixels(save_dicom(build_dataset(SIGNED, WindowCenter=0, WindowWidth=1000), tmp_path))
    np.testing.assert_array_equal(read == 0, SIGNED <= -500)
    np.testing.assert_array_equal(read == WHITE, SIGNED >= 499)
    negative = read_pixels(
        save_dicom(build_dataset(SIGNED, VOILUTSequence=build_table(0, 100, 4095, first=-300)), tmp_path)
    )
    np.testing.assert_array_equal(negative == 0, SIGNED <= -300)
    np.testing.assert_array_equal(negative == WHITE, SIGNED >= -298)


def test_signed_values_without_sign_extension_are_read_the_same(tmp_path: Path) -> None:
    """JPEG Lossless gives 12-bit values unextended: -1 is 4095."""
    twelve = SIGNED.astype(np.uint16) & 0x0FFF
    made = build_compressed("1.2.840.10008.1.2.4.70", encode_jpeg_lossless(twelve), pixels=SIGNED)
    np.testing.assert_array_equal(read_pixels(save_dicom(made, tmp_path)), (SIGNED.astype(int) - SIGNED.min()) << 4)


@pytest.mark.parametrize(
    "header",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},  # the same statement twice
    ],
)
def test_image_in_which_0_is_white_is_inverted_once(header: dict[str, str], tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_pixels(save_dicom(build_dataset(**header), tmp_path)), (4095 - PIXELS) << 4)
    turned = (SIGNED.max() - SIGNED.astype(int)) << 4
    np.testing.assert_array_equal(read_pixels(save_dicom(build_dataset(SIGNED, **header), tmp_path)), turned)
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    straight = read_pixels(save_dicom(build_dataset(**window), tmp_path))
    np.testing.assert_array_equal(
        read_pixels(save_dicom(build_dataset(**window, **header), tmp_path)), WHITE - straight
    )


def test_dark_image_is_not_stretched(tmp_path: Path) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    dark = read_pixels(save_dicom(build_dataset(PIXELS // 8, **window), tmp_path))
    assert dark.max() < WHITE / 7


def test_identity_rescale_leaves_full_bits_unchanged(tmp_path: Path) -> None:
    path = save_dicom(build_dataset(PIXELS * 16, bits=16, RescaleSlope=1, RescaleIntercept=0), tmp_path)
    np.testing.assert_array_equal(read_pixels(path), PIXELS * 16)


def test_8_bits_with_a_window_become_16(tmp_path: Path) -> None:
    pixels = PIXELS.astype(np.uint8)
    read = read_pixels(save_dicom(build_dataset(pixels, WindowCenter=128, WindowWidth=256), tmp_path))
    np.testing.assert_array_equal(read, pixels.astype(np.uint16) * 257)


def test_tables_are_read_in_either_byte_order_and_in_bytes(tmp_path: Path) -> None:
    pixels = (PIXELS % 4).astype(np.uint8)
    wanted = np.array([0, 10, 100, 255], np.uint16)[pixels] * 257
    for syntax, data in (
        (ExplicitVRLittleEndian, np.array([0, 10, 100, 255], "<u2").tobytes()),
        (ExplicitVRBigEndian, np.array([0, 10, 100, 255], ">u2").tobytes()),
        (ExplicitVRLittleEndian, bytes([0, 10, 100, 255])),
    ):
        sequence = build_table(0, 0, 0, 0, bits=8)
        sequence[0].LUTData = data
        sequence[0]["LUTData"].VR = "OW"
        made = build_dataset(pixels, syntax, VOILUTSequence=sequence)
        made["PixelData"].VR = "OB"
        np.testing.assert_array_equal(read_pixels(save_dicom(made, tmp_path)), wanted)


def build_groups(**header: float) -> pydicom.Sequence:
    window, item = pydicom.Dataset(), pydicom.Dataset()
    for name, value in header.items():
        setattr(window, name, value)
    item.FrameVOILUTSequence = pydicom.Sequence([window])
    return pydicom.Sequence([item])


def test_each_frame_uses_its_own_or_the_shared_window(tmp_path: Path) -> None:
    frames = np.stack([PIXELS, PIXELS])
    one, other = (
        build_groups(WindowCenter=1000, WindowWidth=500)[0],
        build_groups(WindowCenter=3000, WindowWidth=500)[0],
    )
    made = build_dataset(frames, PerFrameFunctionalGroupsSequence=pydicom.Sequence([one, other]))
    path = save_dicom(made, tmp_path)
    np.testing.assert_array_equal(read_pixels(path, 1) == WHITE, PIXELS >= 1249)
    np.testing.assert_array_equal(read_pixels(path, 2) == WHITE, PIXELS >= 3249)
    shared = build_dataset(frames, SharedFunctionalGroupsSequence=build_groups(WindowCenter=2000, WindowWidth=500))
    np.testing.assert_array_equal(read_pixels(save_dicom(shared, tmp_path), 2) == WHITE, PIXELS >= 2249)


def build_palette(**colours: list[int]) -> dict[str, object]:
    header: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, values in colours.items():
        header[f"{colour}PaletteColorLookupTableDescriptor"] = [len(values), 0, 16]
        header[f"{colour}PaletteColorLookupTableData"] = np.array(values, "<u2").tobytes()
    return header


def test_grey_palette_is_read_and_colour_palette_is_refused(tmp_path: Path) -> None:
    pixels, greys = (PIXELS % 4).astype(np.uint8), [0, 70, 30000, 65535]
    read = read_pixels(save_dicom(build_dataset(pixels, **build_palette(Red=greys, Green=greys, Blue=greys)), tmp_path))
    np.testing.assert_array_equal(read, np.array(greys)[pixels])
    with pytest.raises(DataError, match="colour"):
        read_pixels(
            save_dicom(build_dataset(pixels, **build_palette(Red=greys, Green=greys, Blue=greys[::-1])), tmp_path)
        )


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"RescaleSlope": 0, "RescaleIntercept": 3}, "slope"),
        ({"WindowCenter": 100, "WindowWidth": 0}, "width 0"),
        ({"WindowCenter": 100, "WindowWidth": -5, "VOILUTFunction": "SIGMOID"}, "width -5"),
        ({"WindowCenter": 100, "WindowWidth": 9, "VOILUTFunction": "GAMMA"}, "GAMMA"),
        ({"WindowCenter": 90000, "WindowWidth": 9}, "one grey"),
        ({"VOILUTSequence": build_table(0, 5000)}, "12 bits"),
        ({"VOILUTSequence": pydicom.Sequence([pydicom.Dataset()])}, "empty"),
    ],
)
def test_window_or_table_that_shows_nothing_is_refused(header: dict[str, object], reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read_pixels(save_dicom(build_dataset(**header), tmp_path))


def test_table_shorter_than_claimed_is_refused(tmp_path: Path) -> None:
    short = build_table(*CURVE[:100])
    short[0].LUTDescriptor = [4096, 0, 12]
    with pytest.raises(DataError, match="4096 entries but has 100"):
        read_pixels(save_dicom(build_dataset(VOILUTSequence=short), tmp_path))
