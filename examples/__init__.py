"""The main job and the method end to end, as a person would do them; never part of the wheel."""
