"""Segmentations as 3D Slicer saves them, written by pynrrd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

Place = tuple[slice, ...]


def write_segmentation(
    path: Path, shape: tuple[int, ...], segments: Sequence[tuple[str, int, int, Place | None]], numbered: bool = True
) -> Path:
    """A .seg.nrrd on the voxels of a NIfTI file whose affine is the identity.

    Args:
        shape: of the image, three sides.
        segments: name, number, layer and voxels of each, in the order of the list.
        numbered: whether the header tells numbers and layers, as since Slicer 4.11.
    """
    layers = 1 + max(layer for _, _, layer, _ in segments)
    voxels = np.zeros((layers, *shape), np.uint8)
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "kinds": ["list", "domain", "domain", "domain"],
        "space directions": np.array([[np.nan] * 3, [-1, 0, 0], [0, -1, 0], [0, 0, 1]]),
        "space origin": [0, 0, 0],
        "encoding": "gzip",
        "Segmentation_MasterRepresentation": "Binary labelmap",
    }
    for place, (name, number, layer, where) in enumerate(segments):
        if where is not None:
            voxels[layer][where] = number
        header |= {f"Segment{place}_ID": f"Segment_{place + 1}", f"Segment{place}_Name": name}
        header[f"Segment{place}_Color"] = "1 0 0"
        if numbered:
            header |= {f"Segment{place}_LabelValue": str(number), f"Segment{place}_Layer": str(layer)}
    if layers == 1:
        voxels, header["kinds"] = voxels[0], header["kinds"][1:]
        header["space directions"] = header["space directions"][1:]
    nrrd.write(str(path), voxels, header)
    return path
