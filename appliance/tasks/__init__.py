"""Tasks: narrow jobs that apps call by name, with a prompt, a form of answers and a gate each."""
