"""HTTP: errors, the checks of every request, the LAN application and its page `/docs`."""
