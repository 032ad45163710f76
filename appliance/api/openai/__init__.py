"""The OpenAI routes of the LAN listener; answers whole or streamed."""
