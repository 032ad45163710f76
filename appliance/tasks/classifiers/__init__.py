"""Classifier candidates: what answers a task of labels without a language model.

Rules: pure numpy, no pickle; a fit is deterministic and depends on the order of neither items nor
labels; coefficients are one JSON document that is checked before it is used; every classifier gives
a probability for each label, and the answer is the most probable one.
"""
