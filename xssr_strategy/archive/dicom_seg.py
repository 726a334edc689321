"""Labels as DICOM SEG objects and back, on the voxels of the series that they segment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from pydicom import dcmread

from xssr_strategy.archive.multiframe import (
    multiframe_files,
    refer_to_frames,
    write_single_frames,
)
from xssr_strategy.archive.segments import segment_volumes, with_frame_groups
from xssr_strategy.archive.volumes import (
    correct_slice_distance,
    is_sheared,
    on_slices,
    read_nifti,
    set_slice_distance,
    shear_like,
    squared,
)
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import image_extension
from xssr_strategy.images.nifti import NIFTI
from xssr_strategy.images.refusal import Refused
from xssr_strategy.labels.names import names_of_numbers, renumbered, says_nothing, with_ignore
from xssr_strategy.labels.segments import file_segments, merged
from xssr_strategy.labels.values import checked_numbers, remark

_SAME = 0.1  # voxels that corners may differ by on one and the same grid (our choice)
_PATIENCE = 120  # seconds that dcmqi may take (our choice)
_LOST = 0.5  # share of a label's volume that must lie on the image (our choice)
_COLOURS = ((221, 84, 84), (84, 150, 221), (96, 190, 120), (230, 180, 60), (160, 110, 200), (90, 200, 200))


def read_label_file(
    path: Path, reference: Any, names: Sequence[str], segments: Mapping[int, str] = MappingProxyType({})
) -> tuple[Any, str]:
    """A label file on the grid of its image.

    A file on another grid of the same space is resampled by nearest neighbour.

    Args:
        path: NIfTI, NRRD or whatever else SimpleITK reads.
        reference: image of :func:`series_image`.
        names: of the labels. With one, any number but zero is that label.
        segments: number -> name in the file, if it numbers them in its own way; those of its header come first.

    Returns:
        SimpleITK image of bytes, value i being ``with_ignore(names)[i - 1]``; what is odd about the label,
        empty if nothing is.

    Raises:
        UserError: unreadable, outside the image, or with values that are no label.
    """
    try:
        # SimpleITK reads a NIfTI file that was cut off, and refuses a sheared one.
        label = read_nifti(path) if image_extension(path) in NIFTI else sitk.ReadImage(str(path))
        values = sitk.GetArrayViewFromImage(label)
    except Refused as error:
        raise UserError(f"The label {error}.") from error
    except (RuntimeError, OSError, EOFError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        raise UserError("The label cannot be read: the file is damaged or cut off; submit it again.") from error
    in_header, layers = file_segments(path), label.GetNumberOfComponentsPerPixel()
    if (layers != 1 and not in_header) or label.GetDimension() != 3:
        raise UserError("The label is not one volume of numbers; submit a label map such as label.nii.gz.")
    if in_header:
        values = merged(np.moveaxis(values, -1, 0) if layers > 1 else values[None], in_header, names)
        known = with_ignore(names)
    else:
        known = names_of_numbers(values, segments, names)
        values = renumbered(values, segments, names)
    try:
        numbers = checked_numbers(values, known)
    except UserError as error:
        raise UserError(f"The label {error}.") from None
    plain = sitk.GetImageFromArray(numbers)
    plain.CopyInformation(label)
    ignored = numbers > len(names)
    drawn = np.where(ignored, 0, numbers) if ignored.any() else values
    return _onto(plain, reference), remark(drawn, names)


def write_segmentation(
    label: Any,
    folder: Path,
    names: Sequence[str],
    file: Path,
    attributes: Mapping[int, Mapping[str, Any]] = MappingProxyType({}),
) -> str:
    """Write a label as DICOM SEG with dcmqi.

    Args:
        label: image of :func:`read_label_file`; something must be drawn.
        folder: the DICOM files of the series.
        names: of the labels; SegmentLabel of the segments, however many of them are drawn, and of what is ignored.
        file: to write.
        attributes: number -> what dcmqi shall write about its segment besides the name, by keyword.

    Returns:
        SeriesInstanceUID of the new object.

    Raises:
        UserError: dcmqi is not installed, or failed.
    """
    names = with_ignore(names)
    drawn = [int(value) for value in np.unique(sitk.GetArrayViewFromImage(label)) if value]
    with tempfile.TemporaryDirectory() as temporary:
        volume, description = Path(temporary) / "label.nrrd", Path(temporary) / "segments.json"
        sitk.WriteImage(label, str(volume), useCompression=True)
        description.write_text(json.dumps(_description(drawn, names, attributes)))
        frames = multiframe_files(folder)
        frame_of = write_single_frames(frames, Path(temporary) / "frames") if frames else {}
        source = Path(temporary) / "frames" if frames else folder
        command = [_dcmqi(), "--inputImageList", str(volume), "--inputDICOMDirectory", str(source)]
        command += ["--inputMetadata", str(description), "--outputDICOM", str(file)]
        try:
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=_PATIENCE
            )
        except subprocess.TimeoutExpired:
            raise UserError("dcmqi did not write the label as DICOM SEG in time; submit it again.") from None
    if done.returncode or not file.is_file():
        last = ((done.stdout + done.stderr).strip().splitlines() or ["no output"])[-1]
        raise UserError(f"dcmqi could not write the label as DICOM SEG: {last}.")
    correct_slice_distance(file, label)
    written = dcmread(file)
    if frame_of:
        refer_to_frames(written, frame_of)
        written.save_as(file)
    if not all(name.isascii() for name in names):  # dcmqi can write no others
        written.decode()
        written.SpecificCharacterSet = "ISO_IR 192"
        for segment, value in zip(written.SegmentSequence, drawn, strict=True):
            segment.SegmentLabel = segment.SegmentDescription = names[value - 1]
        written.save_as(file)
    return str(written.SeriesInstanceUID)


def read_segmentation(files: Sequence[Path], reference: Any, names: Sequence[str]) -> Any:
    """A DICOM SEG on the grid of its image.

    A segment is the label of the same SegmentLabel, in any case. Only where all segments have names that say nothing,
    such as "Segment 1", it is the label of its number. Where segments overlap the higher label wins, and any against
    ``ignore``.

    Args:
        files: the DICOM SEG objects of one series, with whatever slices they store; none for an empty label.
        reference: image of :func:`series_image`.
        names: of the labels. With one, every segment is that label, unless one of them has its name.

    Returns:
        SimpleITK image of bytes, value i being ``with_ignore(names)[i - 1]``.

    Raises:
        UserError: unreadable, outside the image, or with segments that are no label.
    """
    whole = np.zeros(reference.GetSize()[::-1], dtype=np.uint8)
    segments = [segment for file in files for segment in _segments(file, reference)]
    labels = _labels_of([(number, name) for number, name, _ in segments], names)
    masks = zip(labels, (mask for _, _, mask in segments), strict=True)
    for value, mask in sorted(masks, key=lambda pair: pair[0] % (len(names) + 1)):  # what is ignored comes first
        placed = _onto(mask, reference)
        whole[sitk.GetArrayViewFromImage(placed) > 0] = value
    label = sitk.GetImageFromArray(whole)
    label.CopyInformation(reference)
    return label


def _segments(file: Path, reference: Any) -> list[tuple[int, str, Any]]:
    """Number, SegmentLabel and mask of each segment of a DICOM SEG."""
    try:
        dataset = with_frame_groups(dcmread(file))
        sheared = is_sheared(reference) and on_slices(dataset, reference)
        if sheared:
            set_slice_distance(dataset, reference)
        found = [(number, name.strip().lower(), mask) for number, name, mask in segment_volumes(dataset)]
    except Exception as error:  # pydicom and highdicom have many
        raise UserError(f"its DICOM SEG cannot be read ({error}); submit the label again.") from error
    for _, _, mask in found if sheared else ():
        shear_like(mask, reference)
    return found


def _labels_of(segments: Sequence[tuple[int, str]], names: Sequence[str]) -> list[int]:
    """The label of each segment, of which number and SegmentLabel are given; ``ignore`` is the one after the last."""
    known = {name.lower(): number for number, name in enumerate(with_ignore(names), start=1)}
    found = [known.get(name, 0) for _, name in segments]
    named = any(0 < label <= len(names) for label in found)
    for place, (number, name) in enumerate(segments):
        if not found[place] and not named and len(names) == 1:
            found[place] = 1
        elif not found[place] and not named and number <= len(names) and says_nothing(name):
            found[place] = number
        if not found[place]:
            raise UserError(
                f"its segment {number} '{name}' is none of the labels {','.join(names)}; change --conf labels."
            )
    return found


def _dcmqi() -> str:
    """The program of this environment, activated or not, or of PATH."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("itkimage2segimage", path=places)
    if program is None:
        raise UserError("itkimage2segimage is not on PATH: pip install dcmqi.")
    return program


def _description(
    drawn: Sequence[int], names: Sequence[str], attributes: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    segments = [
        {
            "labelID": value,
            "SegmentLabel": _plain_text(names[value - 1], value),
            "SegmentDescription": _plain_text(names[value - 1], value),
            "SegmentAlgorithmType": "SEMIAUTOMATIC",
            "SegmentAlgorithmName": "MONAI Label",
            "SegmentedPropertyCategoryCodeSequence": {
                "CodeValue": "123037004",
                "CodingSchemeDesignator": "SCT",
                "CodeMeaning": "Anatomical Structure",
            },
            "SegmentedPropertyTypeCodeSequence": {
                "CodeValue": "123037004",
                "CodingSchemeDesignator": "SCT",
                "CodeMeaning": "Anatomical Structure",
            },
            "recommendedDisplayRGBValue": list(_COLOURS[(value - 1) % len(_COLOURS)]),
            **attributes.get(value, {}),
        }
        for value in drawn
    ]
    return {
        "ContentCreatorName": "MONAI Label",
        "SeriesDescription": "MONAI Label segmentation",
        "SeriesNumber": "300",
        "InstanceNumber": "1",
        "segmentAttributes": [segments],
        "ContentLabel": "SEGMENTATION",
        "ContentDescription": "Label submitted to MONAI Label",
        "BodyPartExamined": "",
    }


def _plain_text(name: str, value: int) -> str:
    return name if name.isascii() else f"label {value}"


def _onto(label: Any, reference: Any) -> Any:
    """The label on the reference's grid; its voxels are taken as they are if they lie there already.

    They do, too, where another program took the slices of a tilted series for square.
    """
    grids = [reference, squared(reference)] if is_sheared(reference) else [reference]
    if label.GetSize() == reference.GetSize() and any(_corner_shift(label, grid) < _SAME for grid in grids):
        label.CopyInformation(reference)
        return label
    placed = sitk.Resample(label, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    if _volume(placed) < _LOST * _volume(label):
        raise UserError("The label lies elsewhere in space than its image; draw it on the image itself.")
    return placed


def _corner_shift(label: Any, reference: Any) -> float:
    """Largest distance between corresponding corners, in voxels of the finest axis."""
    far = [side - 1 for side in reference.GetSize()]
    corners = [tuple(side if bit >> axis & 1 else 0 for axis, side in enumerate(far)) for bit in range(8)]
    places = (np.subtract(*(i.TransformIndexToPhysicalPoint(c) for i in (label, reference))) for c in corners)
    return max(float(np.linalg.norm(place)) for place in places) / min(reference.GetSpacing())


def _volume(label: Any) -> float:
    return float(np.count_nonzero(sitk.GetArrayViewFromImage(label)) * np.prod(label.GetSpacing()))
