"""Content of the screens: data of the wire in, words and rows out; pure, one module for each
noun.
"""
