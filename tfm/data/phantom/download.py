"""A phantom download on the disk: NBIA's folders, then metadata.csv and the case CSVs, which come last.
Killed and started again with the same plan, it goes on and ends byte for byte the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tfm.core import files
from tfm.core.errors import DataError
from tfm.data.phantom.series import all_series, contents, full_series
from tfm.data.phantom.spec import DownloadPlan, Mammogram
from tfm.data.phantom.tables import case_csvs, metadata_csv

MANIFEST = "manifest-phantom"
RECIPE = "phantom.yaml"


def write(plan: DownloadPlan, out: Path) -> Iterator[tuple[int, int]]:
    """Yields (done, total) after each mammogram. `out` must be new, empty, or hold a part of the same plan."""
    _claim(plan, out)
    root = out / MANIFEST
    sizes: list[tuple[int, ...]] = []
    for done, mammogram in enumerate(plan.mammograms, start=1):
        sizes.append(_write_mammogram(mammogram, root))
        yield done, len(plan.mammograms)
    series = [one for m in plan.mammograms for one in all_series(m)]
    flat = [size for of_one in sizes for size in of_one]
    files.sweep(root)
    files.write_text(root / "metadata.csv", metadata_csv(zip(series, flat, strict=True)))
    for name, text in case_csvs(plan).items():
        files.write_text(out / name, text)
    files.sweep(out)


def _claim(plan: DownloadPlan, out: Path) -> None:
    """Never mix two downloads, and never overwrite a real one's CSVs."""
    recipe = out / RECIPE
    wanted = {"synthetic": "drawn by a program: no patients", **plan.recipe}
    if recipe.exists():
        if files.read_yaml(recipe) != wanted:
            raise DataError(
                f"{out} holds a phantom download made with other settings",
                hint="choose another folder, or remove that one first",
            )
        return
    if out.exists() and any(not found.name.startswith(f".{RECIPE}.") for found in out.iterdir()):
        raise DataError(f"{out} is not empty", hint="choose a new or empty folder for the phantom download")
    out.mkdir(parents=True, exist_ok=True)
    files.write_yaml(recipe, wanted)


def _write_mammogram(m: Mammogram, root: Path) -> tuple[int, ...]:
    """Writes what does not stand yet; returns the size in bytes of each series, whole."""
    series = all_series(m)
    present = [one for one in series if not one.absent]
    for one in present:
        (root / one.folder).mkdir(parents=True, exist_ok=True)
        files.sweep(root / one.folder)
    missing = [path for one in present for path in one.files if not (root / path).exists()]
    # The sizes of a file that is absent or cut are known only by drawing it.
    if not missing and len(present) == len(series) and not m.truncated:
        return tuple(sum((root / path).stat().st_size for path in one.files) for one in series)
    whole = contents(m)
    for path in missing:
        cut = m.truncated and path in full_series(m).files
        files.write_bytes(root / path, whole[path][: len(whole[path]) // 2] if cut else whole[path])
    return tuple(sum(len(whole[path]) for path in one.files) for one in series)
