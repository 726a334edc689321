"""From a coarse mask to a finer one, by a network that segments what is in a box."""
