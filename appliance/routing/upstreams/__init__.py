"""Engines on other hosts: what may be sent to them, how, and what of their answers is believed."""
