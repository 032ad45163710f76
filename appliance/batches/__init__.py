"""Batches of apps: files of lines, each line answered as a request, at the lowest priority."""
