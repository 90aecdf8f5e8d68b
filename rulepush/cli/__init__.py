"""The commands: one file a command, its options declared in it."""
