"""Read mutated DICOM files: `python -m tests.faults.read_mutants SEED COUNT FOLDER`.

A small file of each transfer syntax is made, also of odd lengths, and damaged as disks, networks and strangers do.
"""

import io
import json
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import uid

from tests.imaging.dicom_files import build_compressed, build_dataset, encode_htj2k, encode_jpeg_lossless, save_dicom
from tfm.core.errors import DataError
from tfm.core.file_walk import FoundFile
from tfm.data.download.headers import read_header
from tfm.imaging.read_image import read_pixels

SECONDS = 10
_NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFF]


def make_files(folder: Path) -> list[bytes]:
    generator = np.random.default_rng(4)
    made = []
    for shape, kind in (((40, 36), np.uint16), ((37, 33), np.uint8)):
        pixels = generator.integers(0, 200, shape).astype(kind)
        plain = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian)
        datasets = [build_dataset(pixels, syntax) for syntax in plain]
        datasets.append(build_dataset(pixels.byteswap(), uid.ExplicitVRBigEndian))
        for syntax in (uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless):
            datasets.append(build_dataset(pixels))
            datasets[-1].compress(syntax)
        if kind == np.uint16:
            lossless = encode_jpeg_lossless(pixels)
            for syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1):
                datasets.append(build_compressed(syntax, lossless, pixels=pixels))
        else:
            jpeg = io.BytesIO()
            Image.fromarray(pixels).save(jpeg, "JPEG")
            datasets.append(build_compressed(uid.JPEGBaseline8Bit, jpeg.getvalue(), pixels=pixels))
        made += [save_dicom(dataset, folder).read_bytes() for dataset in datasets]
    tiny = build_compressed(uid.HTJ2KLossless, encode_htj2k(), pixels=np.zeros((1, 1), np.uint8))
    return [*made, save_dicom(tiny, folder).read_bytes()]


def mutate(content: bytes, generator: np.random.Generator) -> bytes:
    data = bytearray(content)
    for _ in range(generator.integers(1, 4)):
        place = int(generator.integers(132, max(133, len(data))))
        size = int(generator.integers(1, 200))
        match generator.integers(8):
            case 0:
                data[place : place + 1] = bytes([int(generator.integers(256))])
            case 1:
                length = int(generator.choice([1, 2, 4]))
                number = int(generator.choice(_NUMBERS)) % 256**length
                data[place : place + length] = number.to_bytes(length, str(generator.choice(["little", "big"])))
            case 2:
                del data[place : place + size]
            case 3:
                data[place:place] = data[place : place + size]
            case 4:
                data[place : place + size] = bytes(size)
            case 5:
                del data[place:]
            case 6:
                data[place:] = bytes(2**20)  # reserved, and not downloaded
            case 7:
                data[place:place] = generator.bytes(size)
    return bytes(data)


def main(seed: int, count: int, folder: Path) -> None:
    files = make_files(folder)
    for whole in files:
        (folder / "whole.dcm").write_bytes(whole)
        read_pixels(folder / "whole.dcm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    path = folder / "mutant.dcm"
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends this process: a decoder may not return to Python
    for number in range(count):
        generator = np.random.default_rng((seed, number))
        path.write_bytes(mutate(files[number % len(files)], generator))
        started = time.monotonic()
        signal.alarm(SECONDS)
        read_header(FoundFile(str(path), path.stat().st_size, 0))
        try:
            read_pixels(path)
            outcomes["read"] += 1
        except DataError as error:
            outcomes["refused" if error.message.startswith(str(path)) and error.hint else "without a reason"] += 1
        signal.alarm(0)
        slowest = max(slowest, time.monotonic() - started)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    sys.stdout.write(json.dumps({**outcomes, "seconds": slowest, "MB": grown}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
