"""The parts of each room, made of those of the rooms before it; `app.py` has the order."""
