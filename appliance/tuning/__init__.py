"""Tuning: from a signed base and items to an adapter, proved as it serves; smaller files."""
