"""Phantoms written as valid CT and MR series, with their labels as SimpleITK images of the same geometry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tests.support.phantoms import ellipsoids

OBLIQUE = ((0.9397, -0.3304, 0.0885), (0.3420, 0.9077, -0.2432), (0.0, 0.2588, 0.9659))
"""Rows, columns and slices turned by 20 and 15 degrees, to four digits as scanners write them."""


@dataclass(frozen=True)
class WrittenSeries:
    """A series in a folder.

    Attributes:
        uid, study, patient: as in its files.
        files: one for each slice.
        label: what the phantom is made of, value i being label i.
    """

    uid: str
    study: str
    patient: str
    files: list[Path]
    label: sitk.Image


def write_phantom(
    folder: Path,
    number: int,
    modality: str = "CT",
    labels: int = 1,
    shape: tuple[int, int, int] = (32, 28, 12),
    station: str = "NEW",
    direction: tuple[tuple[float, float, float], ...] = OBLIQUE,
) -> WrittenSeries:
    """Write phantom ``number`` as one series of one patient; the same number gives the same uids and voxels.

    Args:
        shape: voxels along rows, columns and slices.
        station: StationName, by which two scanners are told apart.
        direction: of rows, columns and slices, as the columns of a matrix (patient coordinates, LPS).
    """
    rng = np.random.default_rng([number, len(station)])
    voxels, mask = ellipsoids(shape, labels, rng)
    values = 1000 * voxels - 1000 * (station == "NEW") if modality == "CT" else 400 * np.clip(voxels, 0, None)
    axes = np.array(direction)
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    image, label = (sitk.GetImageFromArray(array.transpose(2, 1, 0)) for array in (values, mask))
    for one in (image, label):
        one.SetSpacing((1.5, 1.5, 3.0))
        one.SetOrigin((-20.0 + number % 7, -30.0, 12.5))
        one.SetDirection(axes.flatten().tolist())
    return write_series(folder, f"{station}-{modality}-{number:04}", image, label, modality, station)


def write_volume(folder: Path, name: str, image: Path, label: Path, station: str = "NEW") -> WrittenSeries:
    """Write a NIfTI volume and its label as an MR series of the patient ``name``, grey values from 0 to 1000."""
    volume = sitk.Cast(sitk.ReadImage(str(image)), sitk.sitkFloat64)
    brightest = float(np.percentile(sitk.GetArrayViewFromImage(volume), 99.5))
    return write_series(
        folder, name, volume * (1000 / brightest), sitk.ReadImage(str(label), sitk.sitkUInt8), "MR", station
    )


def write_series(
    folder: Path, name: str, image: sitk.Image, label: sitk.Image, modality: str, station: str
) -> WrittenSeries:
    """Write a volume as one series of the patient ``name``; the same name gives the same uids."""
    study, uid = (generate_uid(entropy_srcs=[name, kind]) for kind in ("study", "series"))
    orientation = np.array(image.GetDirection()).reshape(3, 3)
    values = sitk.GetArrayFromImage(image)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, pixels in enumerate(values):
        one = _slice(pixels, modality)
        one.PatientID, one.PatientName = name, f"Phantom^{name}"
        one.StudyInstanceUID, one.SeriesInstanceUID = study, uid
        one.SOPInstanceUID = generate_uid(entropy_srcs=[name, str(number)])
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.StationName = station
        one.FrameOfReferenceUID = generate_uid(entropy_srcs=[name, "frame"])
        one.InstanceNumber = number + 1
        one.PixelSpacing, one.SliceThickness = [image.GetSpacing()[1], image.GetSpacing()[0]], image.GetSpacing()[2]
        one.ImageOrientationPatient = [*orientation[:, 0], *orientation[:, 1]]
        place = image.TransformIndexToPhysicalPoint((0, 0, number))
        one.ImagePositionPatient = [round(coordinate, 5) for coordinate in place]
        files.append(folder / f"{name}-{number:03}.dcm")
        one.save_as(files[-1], write_like_original=False)
    return WrittenSeries(uid, study, name, files, label)


def _slice(pixels: np.ndarray, modality: str) -> Dataset:
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.is_little_endian, one.is_implicit_VR = True, False
    one.Modality = modality
    one.Manufacturer, one.StudyID, one.SeriesNumber, one.AccessionNumber = "Phantom", "1", 1, ""
    one.PatientBirthDate, one.PatientSex, one.ReferringPhysicianName = "19700101", "O", ""
    one.StudyDate, one.StudyTime, one.SeriesDescription = "20260101", "120000", "phantom"
    one.ImageType, one.PatientPosition, one.PositionReferenceIndicator = ["ORIGINAL", "PRIMARY", "AXIAL"], "HFS", ""
    one.Rows, one.Columns = pixels.shape
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    if modality == "CT":
        one.RescaleIntercept, one.RescaleSlope, one.RescaleType = 0, 1, "HU"
        one.KVP, one.AcquisitionNumber = 120, 1
    else:
        one.ScanningSequence, one.SequenceVariant, one.ScanOptions = "SE", "NONE", ""
        one.WindowCenter, one.WindowWidth = 500, 1000
        one.MRAcquisitionType, one.EchoTime, one.RepetitionTime, one.EchoTrainLength = "3D", 10, 500, 1
    one.PixelData = np.clip(pixels.round(), -32768, 32767).astype("<i2").tobytes()
    return one
