"""Engines on other hosts, the only way out: quirks, strict answers, fingerprints, breakers."""
