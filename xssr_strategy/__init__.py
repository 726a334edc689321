"""Representative selection for MONAI Label: which scans deserve a radiologist's hour."""

__version__ = "0.1.0"
