"""Phantoms written as valid CT and MR series, with their labels as SimpleITK images of the same geometry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tests.segmentation.phantoms import ellipsoids

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
    image, mask = ellipsoids(shape, labels, rng)
    values = 1000 * image - 1000 * (station == "NEW") if modality == "CT" else 400 * np.clip(image, 0, None)
    name = f"{station}-{modality}-{number:04}"
    study, uid = (generate_uid(entropy_srcs=[name, kind]) for kind in ("study", "series"))
    spacing, origin = (1.5, 1.5, 3.0), np.array([-20.0 + number % 7, -30.0, 12.5])
    axes = np.array(direction)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for slice_index in range(shape[2]):
        one = _slice(values[:, :, slice_index].T, modality)
        one.PatientID, one.PatientName = name, f"Phantom^{number:04}"
        one.StudyInstanceUID, one.SeriesInstanceUID = study, uid
        one.SOPInstanceUID = generate_uid(entropy_srcs=[name, str(slice_index)])
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.StationName = station
        one.FrameOfReferenceUID = generate_uid(entropy_srcs=[name, "frame"])
        one.InstanceNumber = slice_index + 1
        one.PixelSpacing, one.SliceThickness = list(spacing[:2]), spacing[2]
        one.ImageOrientationPatient = [*axes[:, 0], *axes[:, 1]]
        normal = np.cross(axes[:, 0], axes[:, 1])
        one.ImagePositionPatient = [round(float(v), 5) for v in origin + slice_index * spacing[2] * normal]
        files.append(folder / f"{name}-{slice_index:03}.dcm")
        one.save_as(files[-1], write_like_original=False)
    label = sitk.GetImageFromArray(mask.transpose(2, 1, 0))
    label.SetSpacing(spacing)
    label.SetOrigin(origin.tolist())
    label.SetDirection(np.column_stack([axes[:, 0], axes[:, 1], np.cross(axes[:, 0], axes[:, 1])]).flatten().tolist())
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
        one.MRAcquisitionType, one.EchoTime, one.RepetitionTime, one.EchoTrainLength = "3D", 10, 500, 1
    one.PixelData = np.clip(pixels.round(), -32768, 32767).astype("<i2").tobytes()
    return one
