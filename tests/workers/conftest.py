"""The real model of the engine's tests."""

from tests.engine.conftest import library, sealed_model, variant

__all__ = ["library", "sealed_model", "variant"]
