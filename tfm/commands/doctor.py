"""Check this machine, and say what to do about each problem"""

from __future__ import annotations

from tfm.core.registry import Answer
from tfm.core.settings.base import Settings


class Doctor(Settings):
    """No settings: everything is checked."""


COMMAND = Answer(settings=Doctor, pipeline="tfm.pipelines.doctor:check_machine")
