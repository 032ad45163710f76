"""One request: authorise, prepare, intent, run, outcome; the `Backend` that answers it."""
