"""Datasets: labelled examples, read, checked, split and signed before anything is believed.

Rules: an item has an id and a group; splits and every number that follows count groups; text of an
item is data, never markup, a path or an instruction.
"""
