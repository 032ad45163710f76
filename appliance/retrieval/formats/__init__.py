"""Readers of document formats: bytes in, text and structure out. They run in a confined process."""
