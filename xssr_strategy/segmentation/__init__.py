"""Labels in, networks out: labels are checked, a U-Net is trained on a fixed geometry, masks come back exactly."""
