"""Changes over time: trust updates, re-checks, retention, erasure, the log against the database."""
