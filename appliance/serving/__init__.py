"""One request: authorise, prepare, intent, run, outcome; the `ModelBackend` that answers it."""
