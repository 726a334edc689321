"""Training methods, one a file: how labels, and perhaps unlabelled images, become a network."""
