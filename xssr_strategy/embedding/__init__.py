"""Images in, vectors out: encoders, their training, and the store that keeps the vectors."""
