"""The thin classes by which MONAI Label calls selection, embedding and segmentation."""
