"""Into the forms of other tools: data sets of nnU-Net and the Medical Segmentation Decathlon."""
