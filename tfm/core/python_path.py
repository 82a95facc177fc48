"""Where another Python process finds this program."""

from __future__ import annotations

import os

from tfm.core.settings import presets


def build_python_path() -> str:
    """Absolute folders only: a relative one would let modules in the working folder shadow installed ones."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([str(presets.PROJECT), *filter(os.path.isabs, paths)])
