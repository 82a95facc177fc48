"""A trained network with everything between the pixels and the probability, as one module and as an ONNX file.
What comes before the pixels (cropping, resizing) is not part of it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from tfm.core import files, hints
from tfm.core.errors import SettingsError, WeightsError
from tfm.models.normalisation import Normalisation

WHITE = 65535  # an 8-bit grey value times 257 is the same share of white
TOLERANCE = 1e-4  # of a probability
_EXAMPLES = 2  # images to trace the network with: a batch of one would be taken for a constant


class PixelClassifier(nn.Module):
    """Maps grey values to the probability of malignancy: (B, H, W) uint16 → (B,) float32."""

    def __init__(self, network: nn.Module, normalisation: Normalisation, *, mirrors: bool) -> None:
        super().__init__()
        self.network, self.normalisation, self.mirrors = network, normalisation, mirrors

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        shares = images.to(torch.float32) / WHITE
        normalised = ((shares - self.normalisation.mean) / self.normalisation.deviation)[:, None]
        if self.mirrors:
            normalised = torch.cat([normalised, normalised.flip(-1)])
        logits: torch.Tensor = self.network(normalised)[:, 0]
        if self.mirrors:
            logits = logits.view(2, -1).mean(0)
        return torch.sigmoid(logits)


@dataclass(frozen=True)
class OnnxCheck:
    """The largest differences between the probabilities of the ONNX file and those of this program."""

    from_torch: float
    from_predictions: float  # those stored by the run, perhaps computed on another device

    @property
    def passes(self) -> bool:
        return self.from_torch <= TOLERANCE


def write_onnx(path: Path, model: PixelClassifier, in_size: tuple[int, int], facts: Mapping[str, str]) -> None:
    """Write the model with `facts` as its metadata. Refuse networks that cannot be expressed in ONNX."""
    examples = torch.zeros(_EXAMPLES, *in_size, dtype=torch.uint16)
    reason = "it works for one number of images only"
    try:
        with redirect_stdout(io.StringIO()):  # the exporter prints its progress
            program = torch.onnx.export(
                model.eval(),
                (examples,),
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        program, reason = None, str(error).partition("\n")[0]
    shape = program.model.graph.inputs[0].shape if program else None
    if program is None or shape is None or isinstance(shape[0], int):
        raise SettingsError(
            f"{type(model.network).__name__} cannot be written as ONNX: {reason}",
            hint=f"export its weights alone: {hints.setting('onnx', False)}",
            fields=("onnx",),
        )
    program.model.metadata_props.update(facts)
    with files.write_atomically(path) as temporary:
        program.save(temporary, external_data=False)


def predict_with_onnx(path: Path, images: np.ndarray) -> np.ndarray:  # (n, H, W) uint8 or uint16 → (n,) float64
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    probs = [session.run(None, {"images": widen_greys(image)[None]})[0][0] for image in images]
    return np.array(probs, np.float64)


def widen_greys(image: np.ndarray) -> np.ndarray:  # uint8 or uint16 → uint16
    return image if image.dtype == np.uint16 else image.astype(np.uint16) * (WHITE // 255)


def check_onnx(path: Path, images: np.ndarray, by_torch: np.ndarray, predicted: np.ndarray) -> OnnxCheck:
    """Compare the file with the probabilities of torch on the same images, and with those that the run stored."""
    probs = predict_with_onnx(path, images)
    check = OnnxCheck(float(np.abs(probs - by_torch).max()), float(np.abs(probs - predicted).max()))
    if not check.passes:
        raise WeightsError(
            f"the ONNX model differs from this program by {check.from_torch:.2g} on {len(images)} images; "
            f"{TOLERANCE:g} is allowed",
            hint=f"export the weights alone ({hints.setting('onnx', False)}), and report this with the model's name",
        )
    return check
