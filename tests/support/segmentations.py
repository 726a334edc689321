"""DICOM SEG objects as highdicom writes them, and what other programs make of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")


def can_write(kind: str) -> bool:
    """Label maps came with highdicom 0.24, which needs pydicom 3."""
    return kind in hd.seg.SegmentationTypeValues.__members__


def written(
    files: Sequence[Path], numbers: np.ndarray, names: Sequence[str], kind: str = "BINARY", every: bool = False
) -> Dataset:
    """A label on a series as DICOM SEG.

    Args:
        files: of the slices, lowest first.
        numbers: (slices, rows, columns) of the segments from 1.
        names: SegmentLabel of each.
        every: store frames as well in which nothing is drawn.
    """
    values = numbers
    if kind == "FRACTIONAL":  # of 0.2 and more: what is above 0 counts
        values = np.stack([0.2 * number * (numbers == number) for number in range(1, len(names) + 1)], axis=-1)
    found: Dataset = hd.seg.Segmentation(
        source_images=[dcmread(file) for file in files],
        pixel_array=values.astype(np.float32 if kind == "FRACTIONAL" else np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues[kind],
        segment_descriptions=[_description(number, name) for number, name in enumerate(names, start=1)],
        series_instance_uid=hd.UID(),
        series_number=300,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Phantom",
        manufacturer_model_name="Phantom",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=not every,
    )
    return found


def _description(number: int, name: str) -> Any:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def in_another_order(segmentation: Dataset, order: Sequence[int]) -> None:
    """Store the frames of an object in this order."""
    values = segmentation.pixel_array[list(order)].reshape(-1)
    groups = segmentation.PerFrameFunctionalGroupsSequence
    segmentation.PerFrameFunctionalGroupsSequence = [groups[place] for place in order]
    packed = segmentation.BitsAllocated == 1
    segmentation.PixelData = (np.packbits(values, bitorder="little") if packed else values).tobytes()
