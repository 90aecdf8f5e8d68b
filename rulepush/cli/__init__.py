"""The commands: one file a command, its options declared in it; those of several commands in options.py."""
