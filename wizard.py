#!/usr/bin/env python3
"""TFM: from a CBIS-DDSM download to a comparison of models. No arguments: the menu. Arguments: commands."""

import sys

if __name__ == "__main__":
    try:
        from tfm.ui.cli import main

        sys.exit(main())
    except KeyboardInterrupt:  # before there was anything to pause
        sys.exit(130)
