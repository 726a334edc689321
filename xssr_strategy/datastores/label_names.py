"""Names of a label's numbers: found when it is submitted, and what is known of those of an earlier version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from xssr_strategy.labels.names import segment_names, with_ignore
from xssr_strategy.labels.records import is_recorded
from xssr_strategy.labels.segments import FileSegment, merged


def earlier_names(info: Mapping[str, Any], labels: Sequence[str]) -> tuple[str, ...]:
    """Names that a viewer gave a label, if it cannot be told from them what its numbers mean.

    Of labels that were submitted before numbers were noted, only these are known. Where they are not in the order of
    the labels of now, the segments were in another order then, or the labels were.

    Returns:
        Empty if the label can be used.
    """
    known = {name.lower(): number for number, name in enumerate(labels)}
    names = _submitted_names(info)
    found = [known[name.lower()] for name in names if name.lower() in known]
    return names if len(labels) > 1 and not is_recorded(info) and found != sorted(found) else ()


def were_trained_as(info: Mapping[str, Any], trained: Sequence[str], published: float) -> bool:
    """Whether the numbers of a label of which nothing was noted are those of a network.

    Args:
        info: what a viewer said of the label.
        trained: labels of the network.
        published: when, in seconds since the epoch.
    """
    names = {name.lower() for name in _submitted_names(info)}
    submitted = info.get("ts")
    earlier = isinstance(submitted, int | float) and submitted < published
    return earlier and bool(names) and names <= {name.lower() for name in trained}


def _submitted_names(info: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name.strip() for name in segment_names(info.get("label_info")).values())


def flat_file(
    file: Path, segments: Sequence[FileSegment], names: Sequence[str], temporary: Path
) -> tuple[Path, tuple[str, ...]]:
    """A segmentation of 3D Slicer with the labels' numbers in one layer, under the header that it has.

    Args:
        file: the segmentation.
        segments: of its header.
        names: of the labels.
        temporary: folder for a new file.

    Returns:
        The file itself, if nothing has to change, or a new one; and the names of its numbers.

    Raises:
        UserError: a segment is none of the labels.
        RuntimeError: it cannot be read.
    """
    image = sitk.ReadImage(str(file))
    voxels = sitk.GetArrayFromImage(image)
    layers = np.moveaxis(voxels, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else voxels[None]
    numbers = merged(layers, segments, names)
    known = with_ignore(names) if (numbers > len(names)).any() else tuple(names)
    if len(layers) == 1 and (known == tuple(names) if len(names) == 1 else (numbers == layers[0]).all()):
        return file, known
    flat = sitk.GetImageFromArray(numbers)
    flat.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        if not key.startswith(("NRRD_", "ITK_", "Segment")) or key.startswith("Segmentation_"):
            flat.SetMetaData(key, image.GetMetaData(key))
    for place, (number, segment) in enumerate(_one_for_each(segments, known).items()):
        for key in (key for key in image.GetMetaDataKeys() if key.startswith(f"Segment{segment.place}_")):
            flat.SetMetaData(f"Segment{place}_{key.split('_', 1)[1]}", image.GetMetaData(key))
        flat.SetMetaData(f"Segment{place}_LabelValue", str(number))
        flat.SetMetaData(f"Segment{place}_Layer", "0")
    sitk.WriteImage(flat, str(temporary / file.name), useCompression=True)
    return temporary / file.name, known


def _one_for_each(segments: Sequence[FileSegment], names: Sequence[str]) -> dict[int, FileSegment]:
    """Label number -> the first segment of its name; with one label, whatever it is called."""
    places = {name.lower(): number for number, name in enumerate(names, start=1)}
    found: dict[int, FileSegment] = {}
    for segment in segments:
        number = places.get(segment.name.lower(), 1 if len(places) == 1 else 0)
        if number:
            found.setdefault(number, segment)
    return found
