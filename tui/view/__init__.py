"""Content of the screens: data of the wire in, words and rows out; one module for each noun.

Rules: pure; `now` is in seconds since the epoch, `width` in cells, and what is unknown is "-".
"""
