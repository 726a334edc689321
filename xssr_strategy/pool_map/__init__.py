"""The map of a pool: every image a dot, near the images that its vector is near to; where the picks lie among them."""
