"""Schemas of the admin socket."""
