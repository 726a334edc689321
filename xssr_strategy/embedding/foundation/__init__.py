"""Foundation encoders: networks that were trained elsewhere and give vectors as they are."""
