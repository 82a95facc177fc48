"""Read the size of a PNG, TIFF or PGM file, and whether the file is complete, without its pixels."""

from __future__ import annotations

import re

from PIL import Image

from tfm.core.file_walk import FoundFile
from tfm.data.download.headers import PHANTOM_MAKER, Header

_ENDINGS = (".png", ".tif", ".tiff", ".pgm")
_PNG_END = b"IEND\xaeB`\x82"
_BINARY_PGM = re.compile(rb"P5" + 3 * (rb"(?:\s|#[^\n]*\n)+" + rb"(\d{1,9})") + rb"\s")
_BITS = {"1": 8, "L": 8, "P": 8, "I;16": 16, "I;16B": 16, "I": 16}  # by Pillow's mode; 0: colour, or unknown


def is_plain_image(path: str) -> bool:
    return path.lower().endswith(_ENDINGS)


def read_plain_header(file: FoundFile) -> Header:
    """A file without DICOM's facts: all but its size is unknown."""
    try:
        with open(file.path, "rb") as stream:
            with Image.open(stream) as image:
                columns, rows, bits = *image.size, _BITS.get(image.mode, 0)
                maker = PHANTOM_MAKER if PHANTOM_MAKER in map(str, image.info.values()) else ""
                kind = image.format
            stream.seek(0)
            head = stream.read(4096)
            stream.seek(max(0, file.size - len(_PNG_END)))
            tail = stream.read()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Header.of_broken_file(file, error)
    truncated = kind == "PNG" and tail != _PNG_END
    if binary := _BINARY_PGM.match(head):
        truncated = file.size < binary.end() + rows * columns * (1 if int(binary[3]) < 256 else 2)
    fault = "truncated" if truncated else ""
    return Header(file.path, file.size, fault, rows=rows, columns=columns, bits=bits, maker=maker)
