"""Usage over time, derived from the audit log: by app, person, cost centre, task and model."""
