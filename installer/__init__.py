"""What brings the product to a machine: the build on the connected side, later the installer.

Never part of the product's wheel (the name collides with another package on the index),
never imports `appliance` or `tui`, and uses the standard library only.
"""
