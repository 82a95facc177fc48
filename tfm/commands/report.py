"""Write a report on trained models as one HTML page

The page opens without a network: protocol, patients, preprocessing, every model, their comparison, external tests,
explanations, studies, and the commands that repeat it. All numbers are computed again from the stored predictions.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfm.analysis.settings import UnitSettings
from tfm.core.registry import Stage
from tfm.core.settings.base import IMPORTANT, POSITIONAL, Input, RunWithPredictions, Settings

Explanation = Annotated[str, Input("run", made_by=("explain",), completes=True)]
Study = Annotated[str, Input("run", made_by=("tune",), completes=True)]


class Report(Settings):
    runs: Annotated[list[RunWithPredictions], POSITIONAL, Field(min_length=1)]
    """Which trained models do you want to report?
    If you name none, all complete ones in the workspace are used."""
    explanations: list[Explanation] = []  # noqa: RUF012
    """Which explanations of these models should the report show?
    If you name none, all complete ones are used. Those of other models are left out."""
    studies: list[Study] = []  # noqa: RUF012
    """Which studies should the report show?
    If you name none, all complete ones are used."""
    thesis: Annotated[bool, IMPORTANT] = False
    """Write a thesis pack too: figures, tables, numbers and a methods section for LaTeX?
    It has the methods in English and Spanish, and the checklists CLAIM 2024 and TRIPOD+AI. What only you can answer
    stays marked. It compiles with latexmk."""
    units: UnitSettings = UnitSettings()


COMMAND = Stage(
    settings=Report,
    pipeline="tfm.pipelines.report:report",
    version=3,
    extra_inputs="tfm.pipelines.report_inputs:list_extra_inputs",
)
