"""The Model Context Protocol on the LAN listener, where the configuration switches it on."""
