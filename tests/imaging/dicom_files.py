"""Small DICOM files for tests: plain ones, and compressed ones that no installed library writes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

PIXELS = np.random.default_rng(1).integers(0, 4096, (40, 30)).astype(np.uint16)  # 12 bits stored in 16


def build_dataset(
    pixels: np.ndarray = PIXELS, syntax: str = ExplicitVRLittleEndian, **values: object
) -> pydicom.Dataset:
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    made.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID
    made.Rows, made.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = 8 * pixels.itemsize
    made.BitsStored = values.pop("bits", made.BitsAllocated if pixels.itemsize == 1 else 12)
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    for name, value in values.items():
        setattr(made, name, value)
    return made


def save_dicom(made: pydicom.Dataset, folder: Path) -> Path:
    path = folder / "mammogram.dcm"
    made.save_as(path, enforce_file_format=True)
    return path


def build_compressed(syntax: str, *streams: bytes, **values: object) -> pydicom.Dataset:
    made = build_dataset(**values)
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate(list(streams))
    made["PixelData"].VR = "OB"
    return made


def build_colour(
    channels: np.ndarray, photometric: str = "RGB", syntax: str = ExplicitVRLittleEndian
) -> pydicom.Dataset:
    made = build_dataset(channels[:, :, 0], syntax, bits=8 * channels.itemsize)
    made.PhotometricInterpretation, made.SamplesPerPixel, made.PlanarConfiguration = photometric, 3, 0
    made.PixelData = channels.tobytes()
    return made


def encode_jpeg_lossless(pixels: np.ndarray, selection: int = 1, bits: int = 16) -> bytes:
    """ITU T.81 process 14 with selection value 1 (each pixel as its difference from the left one) or 2 (from the one
    above), every category of differences under a code of 4 or 5 bits. No library here writes what most units do."""
    values = pixels.astype(int)
    first_column = np.r_[2 ** (bits - 1), values[:-1, 0]]
    differences = np.diff(values, prepend=first_column[:, None])
    if selection == 2:
        differences[1:] = np.diff(values, axis=0)
    code = ""
    for difference in differences.ravel().tolist():
        category = abs(difference).bit_length()
        value = difference if difference >= 0 else difference + 2**category - 1
        code += (f"{category:04b}" if category < 14 else f"{category + 14:05b}") + (
            f"{value:0{category}b}" if 0 < category < 16 else ""
        )
    code += "1" * (-len(code) % 8)
    scan = int(code, 2).to_bytes(len(code) // 8).replace(b"\xff", b"\xff\x00")
    codes = bytes([0, 0, 0, 14, 3]) + bytes(11) + bytes(range(17))
    height, width = pixels.shape
    return b"".join(
        [
            b"\xff\xd8",
            b"\xff\xc3" + struct.pack(">HBHHB3B", 11, bits, height, width, 1, 1, 0x11, 0),
            b"\xff\xc4" + struct.pack(">HB", 3 + len(codes), 0) + codes,
            b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, selection, 0, 0),
            scan + b"\xff\xd9",
        ]
    )


def encode_htj2k(negative: bool = False) -> bytes:
    """ISO 15444-15: a single pixel of 8 bits, 1 above or below the middle grey, in one code block with one cleanup pass
    of the high throughput coder: a bit of sign, a run that ends at once, the code 0110 of one significant sample."""
    packet = bytes([0b1_1_000000, 0b0_1_0_0_100_0])  # not empty, included, 7 empty planes, 1 pass, as ever, 4 bytes
    cleanup = bytes([negative, 0x00, 0x63, 0x00])  # signs, runs, the code, and how long all but the signs is
    tile = packet + cleanup
    return b"".join(
        [
            b"\xff\x4f",
            b"\xff\x51" + struct.pack(">2H8IH3B", 41, 0x4000, 1, 1, 0, 0, 1, 1, 0, 0, 1, 7, 1, 1),
            b"\xff\x50" + struct.pack(">HIH", 8, 0x20000, 0),
            b"\xff\x52" + struct.pack(">H2BH6B", 12, 0, 0, 1, 0, 0, 0, 0, 0x40, 1),
            b"\xff\x5c" + struct.pack(">H2B", 4, 1 << 5, 8 << 3),
            b"\xff\x90" + struct.pack(">2HI2B", 10, 0, 14 + len(tile), 0, 1),
            b"\xff\x93" + tile + b"\xff\xd9",
        ]
    )
