"""Reports as one self-contained HTML file each, with charts as inline SVG.

A report reads without script or network, in light and in dark, on a phone, on a screen and on A4.
"""
