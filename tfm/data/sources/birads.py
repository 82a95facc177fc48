"""Labels from BI-RADS: 1 and 2 are benign, 4 to 6 malignant, and 3 is left out, because it stands for neither."""

from __future__ import annotations

import re
from pathlib import Path

from tfm.core.errors import DataError

UNCLEAR = "BI-RADS 3 left out"
_ASSESSMENT = re.compile(r"(?:BI-?RADS\s*)?([0-6])(?:\.0)?[abc]?", re.IGNORECASE)
_DENSITIES = {"1": 1, "2": 2, "3": 3, "4": 4, "A": 1, "B": 2, "C": 3, "D": 4}
_EXCLUDED = {0: "BI-RADS 0: incomplete", 3: "BI-RADS 3: probably benign, not verified"}


def label_birads(path: Path, row: int | str, text: str) -> tuple[str, int, str]:
    """Return label, assessment and the reason why the image is left out."""
    found = _ASSESSMENT.fullmatch(text)
    if not found:
        raise DataError(
            f"{path}, row {row}: {text or 'nothing'} is no BI-RADS assessment",
            hint="an assessment is a number from 0 to 6; correct the row, or download the table again",
        )
    assessment = int(found[1])
    excluded = _EXCLUDED.get(assessment, "")
    return "" if excluded else "benign" if assessment < 3 else "malignant", assessment, excluded


def parse_density(text: str) -> int | None:
    """Return a density of 1 to 4, or None if it is unknown."""
    return _DENSITIES.get(text.upper().removeprefix("DENSITY").strip().removesuffix(".0"))
