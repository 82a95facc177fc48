"""The model card of an exported model, in the format of Hugging Face: YAML for programs, Markdown for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from tfm.analysis.calibration import find_temperature
from tfm.analysis.evaluation import METRICS
from tfm.analysis.format_intervals import format_interval
from tfm.analysis.model_export.pixel_classifier import TOLERANCE, OnnxCheck
from tfm.analysis.threshold import describe_rule
from tfm.analysis.trained_run import TrainedModel
from tfm.core import files
from tfm.core.escape_text import escape_markdown
from tfm.imaging.settings import ChainSettings
from tfm.metrics.intervals import Interval
from tfm.models.normalisation import Normalisation

_TEMPLATE = Path(__file__).with_name("model_card.md.j2")

_DATA = (
    "CBIS-DDSM: scanned film mammograms with verified findings. Lee R. S. et al., A curated mammography data set for "
    "use in computer-aided detection and diagnosis research, Scientific Data 4:170177 (2017); The Cancer Imaging "
    "Archive, doi:10.7937/K9/TCIA.2016.7O02S9CY."
)
_PHANTOMS = "Synthetic mammograms (phantoms) that the program drew. There is no real patient among them."
_LICENCE = (
    "The training data, CBIS-DDSM, are licensed under CC BY 3.0 (https://creativecommons.org/licenses/by/3.0/): who "
    "passes on what was made from them must name their authors, as above."
)
_NO_LICENCE = "The training images are synthetic and need no licence."
_SAMPLE_LICENCE = "CBIS-DDSM, licensed under CC BY 3.0; its authors are named below"
_NO_SAMPLE_LICENCE = "synthetic, and needs no licence"
_LIMITS = (
    "Research, not diagnosis: no regulator has approved the model, and no radiologist has supervised its use.",
    "The films were made in the USA between about 1988 and 1999 and scanned later. Digital mammograms, tomosynthesis "
    "and other populations were not tested.",
    "Every image of the data shows a lesion that was seen and followed up. In screening, most images show none, so "
    "the share of malignant ones, and with it every predictive value, is different.",
    "The result is one probability for an image. It gives no position, and it does not compare earlier images.",
    "Figures by age or origin of the patients do not exist: the data do not record them.",
)
_PHANTOM_LIMITS = (
    "The model was trained and tested on synthetic images. Its figures say nothing about real mammograms.",
    _LIMITS[0],
)


@dataclass(frozen=True)
class CardFacts:
    trained: TrainedModel
    metrics: Mapping[str, Interval]  # names as in METRICS
    collection: Mapping[str, str]  # of the dataset; empty for CBIS-DDSM and phantoms
    environment: Mapping[str, Any]  # of the run
    settings: Mapping[str, Any]  # of the run
    epochs: int
    in_size: tuple[int, int]
    bits: int
    chain: ChainSettings | None  # None: it is not recorded
    normalisation: Normalisation
    check: OnnxCheck | None  # None: there is no ONNX file
    checked_images: int
    sample: str | None  # name of the test image that lies beside the ONNX file


def format_model_card(facts: CardFacts) -> str:
    header = files.format_yaml(_build_metadata(facts))
    environment = jinja2.Environment(  # Markdown, which `finalize` escapes
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: escape_markdown(value) if isinstance(value, str) else value,
        keep_trailing_newline=True,
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return f"---\n{header}---\n\n{template.render(_build_text(facts))}"


def _build_metadata(facts: CardFacts) -> dict[str, Any]:
    trained, synthetic = facts.trained, facts.trained.protocol.synthetic
    types = {"auc": "roc_auc"}
    title = facts.collection.get("title", "CBIS-DDSM")
    dataset = {"name": "synthetic phantoms" if synthetic else title, "type": trained.protocol.dataset}
    values = [
        {"type": types.get(name, name), "name": METRICS[name], "value": round(interval.value, 4)}
        for name, interval in facts.metrics.items()
        if interval.value == interval.value  # an undefined metric is NaN
    ]
    return {
        "library_name": "onnx" if facts.check else "timm",
        "pipeline_tag": "image-classification",
        "tags": ["mammography", "breast-cancer", "medical-imaging", "research-only"],
        "datasets": [] if synthetic else [title],
        "model-index": [
            {
                "name": trained.model,
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": dataset | {"split": trained.protocol.split},
                        "metrics": values,
                    }
                ],
            }
        ],
    }


def _build_text(facts: CardFacts) -> dict[str, Any]:
    trained, protocol, check = facts.trained, facts.trained.protocol, facts.check
    model = facts.settings["model"]
    height, width = facts.in_size
    steps = facts.chain.steps.items() if facts.chain else ()
    about = _describe_data(facts)
    return {
        "model": trained.model,
        "summary": [
            ("architecture", str(model["architecture"])),
            ("parameters", f"{trained.parameters:,}"),
            ("first weights", trained.weights),
            ("trained layers", str(model["trained"])),
            ("epochs", str(facts.epochs)),
            ("seed", str(trained.seed)),
            ("run", trained.run),
        ],
        "onnx": check is not None,
        "sample": facts.sample,
        "sample_licence": about["sample_licence"],
        "height": height,
        "width": width,
        "mean": f"{facts.normalisation.mean:.4f}",
        "deviation": f"{facts.normalisation.deviation:.4f}",
        "bits": facts.bits,
        "steps": [(name, _format_values(values)) for name, values in steps],
        "chain_is_known": facts.chain is not None,
        "check": {
            "images": facts.checked_images,
            "from_torch": f"{check.from_torch:.1e}",
            "from_predictions": f"{check.from_predictions:.1e}",
            "tolerance": f"{TOLERANCE:g}",
        }
        if check
        else None,
        "data": about["data"],
        "dataset": protocol.dataset,
        "protocol": protocol.arrangement,
        "dataset_hash": protocol.dataset_hash[:12],
        "split_hash": protocol.split_hash[:12],
        "patients": len(facts.environment["patients_seen"]),
        "unknown_origins": facts.environment["origin_unknown"],
        "metrics": [(METRICS[name], format_interval(interval)) for name, interval in facts.metrics.items()],
        "caption": protocol.caption,
        "threshold": f"{trained.printed_threshold} ({describe_rule(protocol.threshold_rule)}, chosen on validation)",
        "temperature": f"{find_temperature(trained):.4g}",
        "limits": about["limits"],
        "licence": about["licence"],
    }


def _describe_data(facts: CardFacts) -> dict[str, Any]:
    texts: tuple[str, str, str, tuple[str, ...]]
    if facts.trained.protocol.synthetic:
        texts = (_PHANTOMS, _NO_LICENCE, _NO_SAMPLE_LICENCE, _PHANTOM_LIMITS)
    elif not facts.collection:
        texts = (_DATA, _LICENCE, _SAMPLE_LICENCE, _LIMITS)
    else:
        title, labels, licence, citation = (facts.collection[x] for x in ("title", "labels", "licence", "citation"))
        texts = (
            f"{title}: {labels}. {citation}.",
            f"The training data, {title}, have this licence: {licence}. It may limit what may be passed on.",
            f"{title}, with this licence: {licence}",
            (_LIMITS[0], _LIMITS[3]),
        )
    return dict(zip(("data", "licence", "sample_licence", "limits"), texts, strict=True))


def _format_values(values: Mapping[str, Any] | bool) -> str:
    return "" if isinstance(values, bool) else ", ".join(f"{name} {value}" for name, value in values.items())
