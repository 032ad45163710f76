"""Changes over time: trust updates, the periodic re-check, retention of the log."""
