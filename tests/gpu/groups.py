"""The groups of checks. Each group runs in a process of its own, so that a crash costs one group only."""

from __future__ import annotations

from collections.abc import Callable

from tests.gpu.checks import Check, Scale
from tests.gpu.data_path import list_data_checks
from tests.gpu.training_speed import list_compile_checks, list_spectral_checks, list_speed_checks
from tests.gpu.whole_runs import list_run_checks

GROUPS: dict[str, Callable[[Scale], list[Check]]] = {
    "runs": list_run_checks,
    "deterministic": lambda scale: list_speed_checks(scale, deterministic=True),
    "data": list_data_checks,
    "spectral": list_spectral_checks,
    "compile": list_compile_checks,
    "fast": lambda scale: list_speed_checks(scale, deterministic=False),
}
