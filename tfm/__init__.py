"""From a CBIS-DDSM download to a comparison of models that a thesis can cite."""

__version__ = "1.0.0"
