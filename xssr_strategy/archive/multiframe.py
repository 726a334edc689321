"""Series whose files hold several frames: their volume, and references to single frames of them in a DICOM SEG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from xssr_strategy.errors import UserError
from xssr_strategy.images.frames import frames_of
from xssr_strategy.images.multiframe import has_frames
from xssr_strategy.images.reading import UnreadableImage, read_image
from xssr_strategy.images.stored_values import has_odd_bits

_ORTHOGONAL = 1e-3  # our choice: cosine of the angle between two axes, as far as headers round
_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "NumberOfFrames")
FrameOf = Mapping[str, tuple[str, int]]
"""SOPInstanceUID of a header of one frame -> SOPInstanceUID of its file, and number of the frame there, from 1."""


def multiframe_files(folder: Path) -> list[Path]:
    """The files of a series, sorted by name, if one of them holds several frames; otherwise none."""
    files = sorted(folder.glob("*.dcm"))
    return files if any(map(has_frames, files)) else []


def is_misread(folder: Path) -> bool:
    """Whether SimpleITK would not give the volume of a series: several frames in a file, or odd bits."""
    return any(has_frames(file) or has_odd_bits(file) for file in folder.glob("*.dcm"))


def volume_image(folder: Path) -> Any:
    """The volume of a series as a SimpleITK image, with the values and on the grid of ``read_image``.

    Raises:
        UserError: the frames make no volume, or a tilted one in colours, which no NIfTI for viewers holds.
    """
    try:
        volume = read_image(folder)
    except UnreadableImage as error:
        raise UserError(f"{folder.name}: {str(error).removeprefix(f'{folder}: ')}") from None
    pixels, affine = volume.numpy(), np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine.numpy()  # RAS to LPS
    array = (pixels if pixels.ndim == 4 else pixels[..., None]).transpose(3, 2, 1, 0)
    image = sitk.GetImageFromArray(array if len(pixels) > 1 else array[..., 0], isVector=len(pixels) > 1)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    if len(pixels) > 1 and np.abs(axes.T @ axes - np.eye(3)).max() > _ORTHOGONAL:
        raise UserError(
            f"{folder.name}: its slices in colours are shifted against each other (gantry tilt); resample the series"
        )
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection(axes.flatten().tolist())
    return image


def write_single_frames(files: list[Path], folder: Path) -> FrameOf:
    """Write a header for each frame, with one pixel: dcmqi 1.5 finds the place of an image in no other way.

    Args:
        files: of :func:`multiframe_files`, which ``read_image`` can read.
        folder: to be made.

    Raises:
        UserError: the frames have no place of their own.
    """
    folder.mkdir()
    frame_of: dict[str, tuple[str, int]] = {}
    for file in files:
        header = dcmread(file, stop_before_pixels=True)
        frames = frames_of(header)
        if not frames:
            raise UserError(f"{file.parent.name}: its frames have no place in space, which a DICOM SEG needs.")
        for keyword in _GROUPS:
            if keyword in header:
                del header[keyword]
        header.PixelData = bytes(2)
        header["PixelData"].VR = "OW"
        syntax = header.file_meta.get("TransferSyntaxUID")
        if syntax and syntax.is_little_endian and not syntax.is_implicit_VR:  # packed or not
            header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        whole = str(header.SOPInstanceUID)
        for number, frame in enumerate(frames, start=1):
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid(None)
            header.ImagePositionPatient, header.ImageOrientationPatient = list(frame.position), list(frame.orientation)
            header.PixelSpacing = list(frame.spacing)
            header.save_as(folder / f"{len(frame_of):06}.dcm")
            frame_of[str(header.SOPInstanceUID)] = whole, number
    return frame_of


def refer_to_frames(segmentation: Dataset, frame_of: FrameOf) -> None:
    """Let a DICOM SEG refer to the frames themselves instead of to the headers of :func:`write_single_frames`."""
    for series in segmentation.ReferencedSeriesSequence:
        whole = {frame_of[one.ReferencedSOPInstanceUID][0]: one for one in series.ReferencedInstanceSequence}
        for uid, instance in whole.items():
            instance.ReferencedSOPInstanceUID = uid
        series.ReferencedInstanceSequence = Sequence(whole.values())
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        for derivation in groups.get("DerivationImageSequence") or ():
            for source in derivation.SourceImageSequence:
                source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber = frame_of[
                    source.ReferencedSOPInstanceUID
                ]
