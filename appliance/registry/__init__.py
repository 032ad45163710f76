"""Artifacts from the stick to approved: preview, import, approve; versions."""
