"""A route that is used in tests."""

SMALL, LARGE = "1" * 64, "2" * 64

ROUTE = f"""\
id = "licences"
version = 1
description = "Sort licence notices; the large model where the classifier is in doubt."

[terms]
error = 0.05

[[stages]]
name = "small"
task = "licences-small"
digest = "{SMALL}"

[[stages]]
name = "large"
task = "licences-large"
digest = "{LARGE}"
seconds = 30
at_once = 2
"""

UPSTREAM = f"""
[[stages]]
name = "host"
kind = "upstream"
upstream = "gpu-1"
model = "qwen"
task = "licences-large"
digest = "{LARGE}"
"""

QUEUE = """
[[stages]]
name = "people"
kind = "queue"
hours = 8
"""

RULES = """
[[rules]]
to = "large"
longer_than = 20
field = "notice"

[[rules]]
to = "defer"
scripts = ["latin"]
"""
