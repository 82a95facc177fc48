"""Classify preprocessed mammograms with model.onnx, which lies beside this script.

    python classify_images.py IMAGE...

Needs onnxruntime, numpy and pillow. An image is a grey PNG or TIFF file of 8 or 16 bits, preprocessed and sized as the
README.md beside this script says. A file that cannot be classified gets a line with the reason; the others go on.
For research only: the output is no diagnosis.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, UnidentifiedImageError


class UnusableImageError(Exception):
    """The message says why an image cannot be classified."""


def read_image(path: str, size: tuple[int, int]) -> np.ndarray:
    """Read a grey image as 16-bit values (height, width)."""
    if Path(path).is_dir():
        raise UnusableImageError("it is a folder: name the images in it")
    try:
        with Image.open(path) as image:
            mode, greys = image.mode, np.asarray(image)
    except FileNotFoundError:
        raise UnusableImageError("there is no such file") from None
    except UnidentifiedImageError:
        raise UnusableImageError("it is no image that can be read: a DICOM file must be preprocessed first") from None
    except Exception as error:  # decoders raise all kinds of errors about broken files
        raise UnusableImageError(f"it cannot be read: {error}") from None
    if mode not in ("L", "I;16", "I;16L", "I;16B"):
        raise UnusableImageError(f"it is not a grey image of 8 or 16 bits: its mode is {mode}")
    if greys.shape != size:
        raise UnusableImageError(
            f"it has {greys.shape[0]} x {greys.shape[1]} pixels, but the model needs {size[0]} x {size[1]}"
        )
    return greys.astype(np.uint16) * 257 if greys.dtype == np.uint8 else greys.astype(np.uint16)


def classify_images(paths: list[str]) -> int:
    """Print a row for each image. Return the exit status: 1 if a file could not be classified."""
    session = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"), providers=["CPUExecutionProvider"])
    _, height, width = session.get_inputs()[0].shape
    facts = session.get_modelmeta().custom_metadata_map
    threshold, temperature = float(facts["threshold"]), float(facts["temperature"])
    table = csv.writer(sys.stdout)
    table.writerow(["file", "probability", "calibrated_probability", "at_or_above_threshold"])
    status = 0
    for path in paths:
        try:
            greys = read_image(path, (height, width))
        except UnusableImageError as error:
            sys.stderr.write(f"{path}: {error}\n")
            status = 1
            continue
        (probability,) = session.run(None, {"images": greys[None]})[0].astype(float)
        with np.errstate(divide="ignore", over="ignore"):
            calibrated = 1 / (1 + (1 / probability - 1) ** (1 / temperature))
        verdict = "yes" if probability >= threshold else "no"
        table.writerow([Path(path).resolve(), f"{probability:.6f}", f"{calibrated:.6f}", verdict])
    return status


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(classify_images(sys.argv[1:]))
