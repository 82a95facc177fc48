"""Unlabelled mammograms beside a dataset's training images: which of them may be learned from, and as whose.

What a folder holds stands in data.unlabelled; here it meets the women by whom a run is judged.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tfm.core import files, hints
from tfm.core.errors import DataError
from tfm.core.events import Event, Note, Table
from tfm.core.randomness import seed_at
from tfm.core.runs.run import Run
from tfm.data.cache.cache import Cache
from tfm.data.cache.manifest import read_chain
from tfm.data.cache.unlabelled import Reasons, UnlabelledImages, build_unlabelled_cache
from tfm.imaging.settings import ChainSettings
from tfm.training.inputs.samples import UNKNOWN, Rows
from tfm.training.inputs.training_data import Material

EXTRA = "extra:"  # before whoever is no woman of the dataset
_CBIS_WOMAN = re.compile(r"P_\d+")
_CORNERLESS = 0.95  # of its own box no whole breast fills as much: 1231 whole mammograms 0.73, at most 0.90
_LISTED = "left_out.csv"

_JUDGED = "of a woman of validation or test, or of one kept back"
_THERE = "the picture is in the dataset already"
_TWICE = "the same picture as another of them"
_CUT_OUT = "breast from edge to edge, as in a cut-out"


@dataclass(frozen=True)
class _Known:
    """What is known of the dataset beside which they are learned from."""

    patients: Collection[str]
    judges: Collection[str]  # the women by whom epochs are chosen and figures made
    pixels: Collection[str]
    scans: Collection[str]


def with_extra(
    run: Run, material: Material, judged: Sequence[Rows], folders: Sequence[Path], version: int
) -> Generator[Event, None, Material]:
    """The training images, and behind them those of `folders` which show nobody of `judged` and nothing of the dataset,
    made by the steps of its cache. `version` is that of the code that makes images. `run` remembers which they are;
    of one that began before, that they still are."""
    chain = read_chain(material.cache.folder, version)
    known = _known(material, judged)
    caches, tables, positions = [], [], []
    left_out: dict[Path, Reasons] = {}
    taken: set[str] = set()
    first = len(material.cache.images)
    for folder in folders:
        with run.workspace.lock_product("unlabelled", _name(folder, chain)) as home:
            films, cache = yield from build_unlabelled_cache(home, folder, chain, version=version)
        reasons = _reasons(films, cache, known, taken)
        stay = ~cache.index["image_id"].isin(reasons).to_numpy()
        tables.append(_table(films, known).loc[stay])
        positions.append(first + np.flatnonzero(stay))
        caches.append(cache)
        left_out[folder] = films.left_out | reasons
        first += len(cache.images)
    extra = Rows(pd.concat(tables, ignore_index=True), np.concatenate(positions))
    yield from _told(run, extra, left_out)
    _remember(run, extra, caches, taken, left_out)
    train = material.train
    both = Rows(
        pd.concat([train.table, extra.table], ignore_index=True), np.concatenate([train.positions, extra.positions])
    )
    return replace(material, cache=material.cache.join(caches), train=both)


def _name(folder: Path, chain: ChainSettings) -> str:
    """Other folders or steps never end in the same cache."""
    word = re.sub(r"[^A-Za-z0-9.-]", "_", folder.name).lstrip(".-")
    return f"{word}-{seed_at(str(folder), chain.model_dump_json()):016x}"


def _known(material: Material, judged: Sequence[Rows]) -> _Known:
    manifest, records = material.dataset.manifest, material.cache.read_records(material.dataset.manifest["image_id"])
    return _Known(
        patients=frozenset(manifest["patient_id"]),
        judges=frozenset[str]().union(*(rows.patients for rows in judged)),
        pixels=frozenset(record["pixels"] for record in records.values()),
        scans=frozenset(manifest["sop_uid"]) - {""},
    )


def _reasons(films: UnlabelledImages, cache: Cache, known: _Known, taken: set[str]) -> Reasons:
    """Why some are left out; the pixels of the others are added to what is `taken`."""
    found: Reasons = {}
    records = cache.read_records(cache.index["image_id"])
    patients = dict(zip(films.manifest["image_id"], films.manifest["patient_id"], strict=True))
    for row, (name, uid) in enumerate(zip(cache.index["image_id"], cache.index["sop_uid"], strict=True)):
        pixels = records[name]["pixels"]
        if patients[name] in known.judges:
            found[name] = _JUDGED
        elif pixels in known.pixels or uid in known.scans:
            found[name] = _THERE
        elif pixels in taken:
            found[name] = _TWICE
        elif _filled(cache.breast[row]) > _CORNERLESS:
            found[name] = _CUT_OUT
        else:
            taken.add(pixels)
    return found


def _filled(breast: np.ndarray) -> float:  # (H, W) 0 or 1
    """The share of its own box that a breast fills."""
    rows, columns = np.flatnonzero(breast.any(1)), np.flatnonzero(breast.any(0))
    return float(breast[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean()) if len(rows) else 1.0


def _table(films: UnlabelledImages, known: _Known) -> pd.DataFrame:
    """In the order of the cache's rows."""
    images = films.manifest.sort_values("image_id", ignore_index=True)
    women = [
        _woman(patient, f"{films.folder.name}/{name}", known)
        for name, patient in zip(images["image_id"], images["patient_id"], strict=True)
    ]
    names = films.folder.name + "/" + images["image_id"]
    return pd.DataFrame({"image_id": names, "patient_id": women, "side": "", "view": "", "label": UNKNOWN})


def _woman(patient: str, file: str, known: _Known) -> str:
    """One of CBIS-DDSM is who she is everywhere. A file that names nobody is somebody by itself."""
    if patient in known.patients or _CBIS_WOMAN.fullmatch(patient):
        return patient
    return EXTRA + (patient or file)


def _told(run: Run, extra: Rows, left_out: dict[Path, Reasons]) -> Iterator[Event]:
    listed = [(str(folder), name, why) for folder, reasons in left_out.items() for name, why in reasons.items()]
    if listed:
        path = run.folder / _LISTED
        table = pd.DataFrame(listed, columns=["folder", "file", "reason"])
        files.write_text(path, table.to_csv(index=False, lineterminator="\n"))
        counted = Counter(why for _, _, why in listed).most_common()
        first = {why: name for _, name, why in reversed(listed)}
        caption = f"All of them, each with its reason: {path}"
        yield Table(
            f"{len(listed)} files of the extra folders are left out",
            ["files", "reason", "the first"],
            [[str(count), why, first[why]] for why, count in counted],
            caption,
        )
    if not len(extra):
        raise DataError(
            f"nothing is left to learn from in {', '.join(map(str, left_out))}",
            hint=f"see why in {run.folder / _LISTED}; choose other folders, or pretrain without extra ones",
        )
    yield Note(
        f"{len(extra)} images of the extra folders are learned from as well, of {len(extra.patients)} women as far as "
        "their files say; whether a picture was saved anew in other pixels, nobody can tell"
    )


def _remember(run: Run, extra: Rows, caches: Sequence[Cache], taken: set[str], left_out: dict[Path, Reasons]) -> None:
    digest = hashlib.sha256(json.dumps([extra.table["image_id"].tolist(), sorted(taken)]).encode()).hexdigest()
    before = run.read_environment().get("extra")
    if before and before["sha256"] != digest:
        raise DataError(
            f"the images of {', '.join(map(str, left_out))} have changed since this run began",
            hint=f"learn from what stands now: {hints.command('runs restart', run.id)}",
        )
    run.save_facts(
        extra={
            "folders": [str(folder) for folder in left_out],
            "caches": [cache.folder.name for cache in caches],
            "images": len(extra),
            "women": len(extra.patients),
            "left_out": sum(map(len, left_out.values())),
            "sha256": digest,
        }
    )
