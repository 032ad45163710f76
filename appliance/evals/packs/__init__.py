"""Small pinned packs: skills outside the task, refusals, fixed texts.

Rules: our own items under the product's licence, pinned by digest; a few dozen easy items show that
a model lost much, never that it lost little; nothing here compares with a public benchmark.
"""
