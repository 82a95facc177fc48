"""From a CBIS-DDSM download to a comparison of models that a thesis can cite."""

import os

__version__ = "1.0.0"

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # before anything imports the hub's package, which reads it once
