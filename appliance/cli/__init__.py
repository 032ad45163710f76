"""The commands: output and exit status."""
