"""The declaration of each command, one file a command: settings, help and registration. The work is in tfm.pipelines.

The first line of a file's docstring is the command's line in the menu and in the help.
"""
