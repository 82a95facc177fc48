"""Find image files that are in no dataset, to predict them. A file that is no mammogram is refused with its reason.
Pixels are read in `preprocess_new_images`."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from tfm.core.errors import DataError
from tfm.core.events import Event, Progress
from tfm.core.file_walk import FoundFile, walk_files
from tfm.data.download.find_files import make_printable
from tfm.data.new_images.image_facts import ImageFacts, read_image_facts
from tfm.imaging.read_image import explain_unknown_format

_RADIOGRAPHS = ("CR", "DX", "RG", "OT", "SC")  # modalities that may show a breast; MG is mammography

_LEAVE_OUT = "leave it out, or copy it again if it should be a mammogram"

Refusals = dict[str, str]  # name of a file → why it is refused, and what to do


@dataclass(frozen=True)
class NewImages:
    """Satisfies `ImageFolder`. The names are paths, relative to the folder that the given paths share."""

    folder: Path
    facts: dict[str, ImageFacts]  # by name, sorted
    refused: Refusals = field(default_factory=dict)

    @property
    def manifest(self) -> pd.DataFrame:
        rows = [(name, facts.sop_uid, name, "") for name, facts in self.facts.items()]
        return pd.DataFrame(rows, columns=["image_id", "sop_uid", "file", "mask"], dtype=str)

    def path(self, relative: str) -> Path:
        return self.folder / relative

    def refuse(self, more: Refusals) -> NewImages:
        kept = {name: facts for name, facts in self.facts.items() if name not in more}
        return NewImages(self.folder, kept, self.refused | more)


def find_new_images(paths: Sequence[Path], *, crops: bool) -> Generator[Event, None, NewImages]:
    """Find the files below `paths`, and read their headers.

    Args:
        crops: whether the model was trained on crops of lesions. Otherwise these are refused.
    """
    found = sorted(_list_files(paths), key=lambda one: one.path)
    if not found:
        raise DataError(
            f"there is no file in {', '.join(map(str, paths))}", hint="choose files, or a folder that contains images"
        )
    folder = _find_shared_folder(found)
    facts: dict[str, ImageFacts] = {}
    refused: Refusals = {}
    for done, one in enumerate(found, 1):
        path = Path(one.path)
        name = path.relative_to(folder).as_posix()
        reason = "" if make_printable(name) == name else "its name cannot be printed; rename it"
        if problem := one.problem or explain_unknown_format(path):
            reason = f"{problem}; {_LEAVE_OUT}"
        if not reason:
            facts[name] = read_image_facts(path, f"{folder.name}/{name}")
            reason = _explain_no_mammogram(facts[name], crops)
        if reason:
            refused[make_printable(name)] = reason
            facts.pop(name, None)
        yield Progress("found", done, len(found), "files")
    return NewImages(folder, facts, refused)


def _list_files(paths: Sequence[Path]) -> Iterator[FoundFile]:
    seen: set[str] = set()
    for path in paths:
        files = walk_files([path], links=True) if path.is_dir() else [FoundFile(os.path.realpath(path))]
        for one in files:
            if one.path not in seen and not Path(one.path).name.startswith("."):  # macOS writes such files
                seen.add(one.path)
                yield one


def _find_shared_folder(found: Sequence[FoundFile]) -> Path:
    return Path(os.path.commonpath([Path(one.path).parent for one in found]))


def _explain_no_mammogram(facts: ImageFacts, crops: bool) -> str:
    """Say why a file is no mammogram by its header and name; empty if it may be one."""
    modality, part = facts.modality, facts.body_part
    if modality and modality != "MG" and modality not in _RADIOGRAPHS:
        return f"no mammogram: its header says modality {modality}; leave it out"
    if modality != "MG" and part and part != "BREAST":
        return f"no mammogram: its header says {part.lower()}; leave it out"
    if facts.lesion and not crops:
        return "a crop or a mask of CBIS-DDSM, by its name, not a whole mammogram; use the mammogram"
    return ""
