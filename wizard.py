#!/usr/bin/env python3
"""TFM: from a CBIS-DDSM download to a comparison of models. No arguments: the menu. Arguments: commands."""

import sys

from tfm.ui.cli import main

if __name__ == "__main__":
    sys.exit(main())
