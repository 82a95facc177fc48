"""Check this machine: what falls short, and what to do about it"""

from __future__ import annotations

from tfm.core.registry import Answer
from tfm.core.settings.schema import Settings


class Doctor(Settings):
    """Nothing to choose: it looks at everything."""


COMMAND = Answer(settings=Doctor, pipeline="tfm.pipelines.doctor:check_machine")
