"""The small stage first: routes, confidence, calibration, hops, the monitor of accepted answers."""
