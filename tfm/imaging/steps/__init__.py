"""One file a step: `apply(film, settings) -> Film`, a pure function. The file's name is the step's name everywhere.

Their settings stand in `tfm.imaging.settings`, so that menus need not import arrays.
"""
