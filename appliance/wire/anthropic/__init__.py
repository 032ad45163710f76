"""The schemas of Anthropic's API, of the LAN listener."""
