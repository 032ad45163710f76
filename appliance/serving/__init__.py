"""One request: authorise, prepare, intent, run, outcome."""
