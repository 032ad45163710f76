"""Advice on a task: four questions, costs, a verdict; drift, when the evidence no longer holds.

Rules: questions, costs and verdicts are pure; a price comes from its user with its date and its
source, never from us; "don't" and "not enough data" are answers like any other.
"""
