"""Usage over time, derived from the audit log: by app, person, task and model."""
