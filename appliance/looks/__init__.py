"""Sealed looks: a sealed split opened once, judged, kept, and carried over to another engine."""
