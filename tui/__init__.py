"""The operator's screens: a client of the admin socket, nothing more."""
