"""Builds what is carried in: the llama.cpp wheel, the offline wheels, the default model."""
