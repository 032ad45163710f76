"""The confined process that trains, on torch."""
