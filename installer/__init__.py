"""Brings the product to a machine; never in the wheel, never imports the product.

Never part of the product's wheel (the name collides with another package on the index),
never imports `appliance` or `tui`, and uses the standard library only.
"""
