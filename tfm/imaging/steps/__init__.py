"""One file per step: a pure function `apply(mammogram, settings) -> Mammogram`. The file's name is the step's name.
The steps' settings are in `tfm.imaging.settings`, so that menus need not import numpy."""
