"""Measures the appliance's speed: see README.md in this directory."""
