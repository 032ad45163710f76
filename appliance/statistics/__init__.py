"""Statistics of the method: pure functions on numpy, each with the paper that it follows.

Rules: nothing here reads a file, a clock or a global random state; groups, not items, are the units
of every interval that a verdict rests on; an interval has a width even when every answer is right.
Arguments that no caller may pass raise `ValueError`; documents from outside raise `Refused`.
"""
