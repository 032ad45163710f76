"""Tuning: from a signed base and the items of a task to an adapter that is proved as it serves."""
