"""From the few slices of a volume that somebody drew to the mask of the whole volume."""
