"""Text on both sides of the model: templates, grammars, tool calls, reasoning, streams."""
