"""Schemas of the LAN listener."""
