"""Signed statements: approvals, pointers, specifications, evaluations, routes, upstreams."""
