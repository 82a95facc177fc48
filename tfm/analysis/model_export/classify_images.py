"""Classify preprocessed mammograms with model.onnx, which lies beside this script.

    python classify_images.py IMAGE...

Needs onnxruntime, numpy and pillow. An image is a grey PNG or TIFF file of 8 or 16 bits, preprocessed and sized as the
README.md beside this script says. For research only: the output is no diagnosis.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


def read_image(path: str, size: tuple[int, int]) -> np.ndarray:
    """Read a grey image as 16-bit values (height, width)."""
    with Image.open(path) as image:
        if image.mode not in ("L", "I;16", "I;16L", "I;16B"):
            sys.exit(f"{path} is not a grey image of 8 or 16 bits: its mode is {image.mode}")
        greys = np.asarray(image)
    if greys.shape != size:
        sys.exit(f"{path} has {greys.shape[0]} x {greys.shape[1]} pixels, but the model needs {size[0]} x {size[1]}")
    return greys.astype(np.uint16) * 257 if greys.dtype == np.uint8 else greys.astype(np.uint16)


def classify_images(paths: list[str]) -> None:
    session = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"), providers=["CPUExecutionProvider"])
    _, height, width = session.get_inputs()[0].shape
    facts = session.get_modelmeta().custom_metadata_map
    threshold, temperature = float(facts["threshold"]), float(facts["temperature"])
    table = csv.writer(sys.stdout)
    table.writerow(["file", "probability", "calibrated_probability", "at_or_above_threshold"])
    for path in paths:
        (probability,) = session.run(None, {"images": read_image(path, (height, width))[None]})[0].astype(float)
        with np.errstate(divide="ignore", over="ignore"):
            calibrated = 1 / (1 + (1 / probability - 1) ** (1 / temperature))
        verdict = "yes" if probability >= threshold else "no"
        table.writerow([Path(path).resolve(), f"{probability:.6f}", f"{calibrated:.6f}", verdict])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    classify_images(sys.argv[1:])
