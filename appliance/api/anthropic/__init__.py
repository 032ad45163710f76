"""The routes of Anthropic's API, on the LAN listener."""
