"""Write a phantom download: the images in one of the layouts, then the tables.
A killed run that is started again with the same plan continues and ends with the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tfm.core import files
from tfm.core.errors import DataError
from tfm.data.phantom.case_csvs import build_case_csvs
from tfm.data.phantom.download_plan import DownloadPlan, Mammogram
from tfm.data.phantom.layouts import LAYOUTS, Layout, Row, format_csv
from tfm.data.phantom.series import Drawing, Series, build_all_series

RECIPE = "phantom.yaml"


def write_download(plan: DownloadPlan, out: Path) -> Iterator[tuple[int, int]]:
    """Yield (done, total) after each mammogram. `out` must be new, empty, or contain a part of the same plan."""
    _reserve_folder(plan, out)
    layout = LAYOUTS[plan.layout]
    listed: dict[str, list[Row]] = {}
    for done, mammogram in enumerate(plan.mammograms, start=1):
        for root, rows in _write_mammogram(mammogram, layout, out):
            listed.setdefault(root, []).extend(rows)
        yield done, len(plan.mammograms)
    if layout.listing:
        for root, rows in listed.items():
            _write_table(out / root / layout.listing.path, format_csv(rows, layout.listing.line_end))
    for name, text in build_case_csvs(plan).items():
        _write_table(out / layout.case_csvs / name, text)
    files.remove_leftovers(out)


def _reserve_folder(plan: DownloadPlan, out: Path) -> None:
    """Refuse a folder that contains another download or other files."""
    recipe = out / RECIPE
    wanted = {"synthetic": "drawn by a program: no patients", **plan.recipe}
    if recipe.exists():
        if files.read_yaml(recipe) != wanted:
            raise DataError(
                f"{out} contains a phantom download made with other settings",
                hint="choose another folder, or delete this one first",
            )
        return
    if out.exists() and any(not found.name.startswith(f".{RECIPE}.") for found in out.iterdir()):
        raise DataError(f"{out} is not empty", hint="choose a new or empty folder for the phantom download")
    out.mkdir(parents=True, exist_ok=True)
    files.write_yaml(recipe, wanted)


def _write_table(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.remove_leftovers(path.parent)
    files.write_text(path, text)


def _write_mammogram(m: Mammogram, layout: Layout, out: Path) -> Iterator[tuple[str, list[Row]]]:
    """Write the missing files. Yield the root folder and the listed rows of each copy of a series."""
    drawing = Drawing(m)
    for series in build_all_series(m):
        for root in (layout.root, layout.second_root) if series.twice else (layout.root,):
            if not series.absent:
                _write_series(series, drawing, layout, out / root)
            if layout.listing:
                yield root, layout.listing.rows(layout, series, drawing, out / root)


def _write_series(series: Series, drawing: Drawing, layout: Layout, root: Path) -> None:
    folder = root / layout.folder(series)
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_leftovers(folder)
    for instance in series.instances:
        path = root / layout.locate(series, instance)
        if not path.exists():
            content = bytes(4096) if instance.damage == "zeros" else layout.encode(drawing.get_dataset(instance))
            files.write_bytes(path, content[: len(content) // 2] if instance.damage == "cut" else content)
