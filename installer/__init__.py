"""Brings the product to a machine; never in the wheel, never imports the product. Standard library
only.
"""
