"""Labels: the names and values they may have, and reading them."""
