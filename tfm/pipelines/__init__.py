"""The work of each command, one file a command. Settings and registration are in tfm.commands."""
