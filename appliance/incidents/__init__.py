"""The one table of what is wrong, for screens, doctor, metrics and log lines."""
