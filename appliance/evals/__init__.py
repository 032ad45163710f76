"""Evaluation: every candidate of a task measured alike on the customer's own items."""
