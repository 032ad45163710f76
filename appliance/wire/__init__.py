"""Schemas of the HTTP surface, shared by the API and its clients; they know nothing else."""
