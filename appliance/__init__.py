"""Small, specialised language models on a network that data may not leave."""

__version__ = "0.2.0"
