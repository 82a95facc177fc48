#!/usr/bin/env python3
"""TFM: from a CBIS-DDSM download to a comparison of models. No arguments: the menu. Arguments: commands."""

import sys

if __name__ == "__main__":
    try:
        from tfm.ui.cli import main

        sys.exit(main())
    except KeyboardInterrupt:  # before there was anything to pause
        sys.exit(130)
    except ModuleNotFoundError as error:
        sys.exit(f"The package {error.name} is not installed. Install all: python -m pip install -r requirements.txt")
