"""Answers without a language model: n-grams with logistic regression, nearest neighbours.

Rules: pure numpy; a fit is deterministic and depends on the order of neither items nor labels;
coefficients are one JSON document; every classifier gives a probability for each label.
"""
