"""Image files as 3D Slicer opens them: with ITK, on three axes, a slice as a stack with its neighbours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import itk
import SimpleITK as sitk


@dataclass
class Scene:
    """The image that is open.

    Attributes:
        sample: as the server described it, or what the module makes up for an image that was opened locally.
        file: that was opened.
        volume: always 3-D; a picture is a volume of one slice.
    """

    sample: dict[str, Any]
    file: Path
    volume: sitk.Image


def stack(file: Path) -> list[str]:
    """Names of the files that Slicer opens as one volume when it is told to open this one.

    A file of one slice whose name holds a number is taken for a slice of a stack, with all files beside it that
    differ in the number only.
    """
    if read_volume(file).GetDepth() > 1:
        return [file.name]
    names = itk.ArchetypeSeriesFileNames.New(Archetype=str(file)).GetFileNames()
    return [Path(name).name for name in names]


def read_volume(file: Path) -> sitk.Image:
    """An image file as Slicer holds it: with three axes, a picture with one slice."""
    image = sitk.ReadImage(str(file))
    return image if image.GetDimension() == 3 else sitk.JoinSeries([image])


def opened(sample: dict[str, Any], file: Path) -> Scene:
    """The scene with this file; a file on which Slicer shows an error raises RuntimeError, as ITK does."""
    return Scene({**sample}, file, read_volume(file))


def checksum(file: Path, like: str) -> str:
    """The checksum of a file, by the algorithm that ``like`` names before its colon."""
    algorithm = like.split(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm.lower(), file.read_bytes()).hexdigest()}"
