"""How mammograms became training images: the settings of the cache, and pictures of some training images after each
step."""

from __future__ import annotations

from typing import Any

from tfm.analysis.export_table import ExportTable
from tfm.analysis.figures.preprocessing import draw_preprocessing
from tfm.analysis.preprocessing_steps import choose_images, show_steps
from tfm.analysis.report.opened_dataset import OpenedDataset
from tfm.analysis.report.parts import FigurePart, Paragraph, Part, Section, TablePart
from tfm.analysis.report.reported_runs import ReportedRuns
from tfm.core import files
from tfm.core.errors import TFMError
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.cache import SETTINGS
from tfm.imaging.settings import ChainSettings

_IMAGES, _SEED = 2, 7


def read_chains(workspace: Workspace, reported: ReportedRuns) -> tuple[dict[str, ChainSettings], list[str]]:
    """Read the steps of each cache of the runs. Return them, and what had to be left out."""
    settings = [one.model.settings for one in reported.runs]
    chains, missing = {}, []
    for cache in dict.fromkeys(str(values["cache"]) for values in settings if "cache" in values):
        try:
            chains[cache] = _read_chain(workspace, cache)
        except (TFMError, OSError, ValueError, KeyError):
            missing.append(f"the preprocessing of the cache {cache}: it was deleted, or does not say its steps")
    return chains, missing


def build_preprocessing_section(
    data: OpenedDataset | str, chains: dict[str, ChainSettings]
) -> tuple[Section, list[str]]:
    """Return the section, and what had to be left out."""
    parts: list[Part] = []
    missing = []
    for number, (cache, chain) in enumerate(chains.items(), start=1):
        parts.append(TablePart(f"preprocessing-{number}", _tabulate_steps(cache, chain)))
        if isinstance(data, OpenedDataset):
            figure = _draw_steps(data, chain, f"preprocessing-{number}")
            if figure is None:
                missing.append(f"pictures of the preprocessing of {cache}: the images of {data.name} cannot be read")
            else:
                parts.append(figure)
    parts = parts or [Paragraph("The steps of the preprocessing are not known.")]
    return Section("preprocessing", "Preprocessing", parts), missing


def _read_chain(workspace: Workspace, cache: str) -> ChainSettings:
    written = files.read_yaml(workspace.cache_folder(cache) / SETTINGS)
    return ChainSettings(frame=written["frame"], steps=dict(written["steps"]))


def _tabulate_steps(cache: str, chain: ChainSettings) -> ExportTable:
    steps = chain.parse_steps()
    rows = []
    records: list[dict[str, Any]] = []
    for number, (name, settings) in enumerate(steps.items(), start=1):
        values = settings.model_dump(mode="json")
        about = (type(settings).__doc__ or "").strip().split("\n", 1)[0]
        words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items())
        rows.append([str(number), name.replace("_", " "), about, words or "none"])
        records.append({"step": name, **values})
    return ExportTable(
        f"The steps of the cache {cache}, in order.", ["step", "name", "what it does", "settings"], rows, records
    )


def _draw_steps(data: OpenedDataset, chain: ChainSettings, name: str) -> FigurePart | None:
    rows = []
    for image in choose_images(data.dataset, (), _IMAGES, _SEED).to_dict("records"):
        try:
            rows.append(show_steps(data.dataset, image, chain)[0])
        except (TFMError, OSError):
            continue
    if not rows:
        return None
    names = ", ".join(tile.caption for tile in rows[0].tiles)
    return FigurePart(
        name,
        draw_preprocessing(rows),
        f"Training images after each step: {names}.",
        "Training images after each step. Lines: the breast (blue) and the lesions (red).",
    )
