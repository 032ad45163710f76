"""What time changes: trust updates, the periodic re-check, retention of the log."""
