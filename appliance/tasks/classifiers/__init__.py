"""Answers without a language model: n-grams with logistic regression, nearest neighbours.

Rules: pure numpy, no pickle; a fit is deterministic and depends on the order of neither items nor
labels; coefficients are one JSON document that is checked before it is used; every classifier gives
a probability for each label, and the answer is the most probable one.
"""
