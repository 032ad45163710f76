"""Brings the product to a machine; never in the wheel, never imports the product.

Its name collides with another package on the index. It uses the standard library only.
"""
