"""One pool: what is in it, who has which image, in which order, and how it is brought up to date."""
