"""One file per thing a user can do: a Settings class and one generator of events, or a planner of several.

The first line of a file's docstring is its line in the menu and in the help.
"""
