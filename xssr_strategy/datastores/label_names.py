"""Names of a label's numbers: found when it is submitted, and what is known of those of an earlier version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from monai.data import MetaTensor
from numpy.typing import NDArray

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import image_extension
from xssr_strategy.images.nifti import NIFTI, nifti_like
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.images.refusal import Refused
from xssr_strategy.labels.formats import read_numbers
from xssr_strategy.labels.names import IGNORE, names_of_numbers, renumbered, segment_names, with_ignore
from xssr_strategy.labels.records import is_recorded
from xssr_strategy.labels.segments import FileSegment, file_segments, merged
from xssr_strategy.labels.values import checked_numbers

_DAMAGED = "The label cannot be read: it is damaged or cut off; submit it again."
_PICTURES = (".png", ".tif", ".tiff")


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


def unknown_numbers(file: Path | str, info: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Why a label cannot be used by :func:`earlier_names`, in a sentence; empty if it can be."""
    earlier = earlier_names(info, labels)
    if not earlier:
        return ""
    return (
        f"{file}: was submitted to an earlier version as {','.join(earlier)}, which did not note what its numbers "
        f"mean, and the labels are {','.join(labels)} now; submit it again"
    )


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


def submitted_file(file: Path, label_info: Any, names: Sequence[str], temporary: Path) -> tuple[Path, tuple[str, ...]]:
    """The file of a label to keep, and the names of its numbers; what its header says comes before ``label_info``.

    Args:
        file: that was submitted.
        label_info: what the viewer says of its segments.
        names: of the labels.
        temporary: folder for a new file.

    Raises:
        UserError: it cannot be read, or a segment is none of the labels.
    """
    if names and (in_header := file_segments(file)):
        try:
            return _flat_file(file, in_header, names, temporary)
        except RuntimeError:
            raise UserError(_DAMAGED) from None
    segments = segment_names(label_info)
    try:
        label = read_numbers(file)
    except UnreadableImage as error:
        refused = error.__cause__
        raise UserError(f"The label {refused}." if isinstance(refused, Refused) else _DAMAGED) from None
    stored = label.numpy()
    numbers = renumbered(stored, segments, names)
    named_ignore = any(name.lower() == IGNORE for name in segments.values())
    known = names_of_numbers(stored, segments, names) if named_ignore else tuple(names)
    if numbers is stored:
        return file, known
    changed = temporary / file.name
    try:
        _write_like(file, label, checked_numbers(numbers, with_ignore(names)), changed)
    except UserError as error:
        raise UserError(f"The label {error}.") from None
    return changed, known


def _write_like(file: Path, label: MetaTensor, numbers: NDArray[np.uint8], changed: Path) -> None:
    """Write other numbers in the place of a label's.

    Args:
        file: of the label.
        label: of the file, (C, *spatial).
        numbers: in place of the label's.
        changed: to write, of the file's format.

    Raises:
        UserError: the label is a colour image; the sentence lacks its subject.
    """
    if (numbers != numbers[:1]).any():
        raise UserError("is a colour image; save it as one channel of label numbers")
    whole = numbers[0]
    if image_extension(file) in NIFTI:  # SimpleITK reads no sheared one, and would write a header of its own
        shape = nib.load(file).shape  # type: ignore[attr-defined]
        nib.save(nifti_like(file, whole.reshape(shape)), changed)
        return
    if image_extension(file) in _PICTURES:
        image = sitk.GetImageFromArray(whole.T)
        image.SetSpacing([float(step) for step in np.linalg.norm(label.affine[:3, :3], axis=0)[: whole.ndim]])
    else:
        place = sitk.ReadImage(str(file))
        image = sitk.GetImageFromArray(whole.T.reshape(place.GetSize()[::-1]))
        image.CopyInformation(place)
    sitk.WriteImage(image, str(changed), useCompression=True)


def _flat_file(
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
