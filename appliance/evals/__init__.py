"""Every candidate of a task measured alike: scores, comparisons, the report, the gate."""
