"""A DICOM archive over DICOMweb: which series there are, their files, and segmentations in and out."""
