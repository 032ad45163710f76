"""The schemas of the Model Context Protocol, of the LAN listener."""
