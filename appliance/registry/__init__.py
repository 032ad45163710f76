"""Artifacts from the stick to approved: import, preview, approve, suspend, retire."""
