"""The OpenAI routes of the LAN listener."""
