"""The installer: runs on the host, before any wheel exists, on the Python that the bundle brings.

Standard library only; shipped as one zip archive (`install.pyz`). It never imports the product:
it starts commands of it.
"""
