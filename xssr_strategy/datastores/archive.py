"""MONAI Label's DICOMweb datastore, made right: labels count at once and come back as they were drawn."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from fastapi import HTTPException
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

from xssr_strategy.archive.client import ArchiveError, Series
from xssr_strategy.archive.dicom_seg import read_label_file, read_segmentation, write_segmentation
from xssr_strategy.archive.pool import ArchivePool
from xssr_strategy.archive.volumes import series_image, write_nifti
from xssr_strategy.datastores.bare_voxels import voxels_file
from xssr_strategy.datastores.crash_safe import CrashSafeDatastore
from xssr_strategy.datastores.metadata import checked_info, checked_notes, plain_name
from xssr_strategy.datastores.nifti_cache import NIFTI, SeriesFiles, is_current
from xssr_strategy.errors import UserError
from xssr_strategy.labels.names import segment_names, with_ignore
from xssr_strategy.labels.reading import labelled_pair
from xssr_strategy.labels.records import record, recorded_names

logger = logging.getLogger(__name__)

_FINAL = DefaultLabelTag.FINAL


class ArchiveDatastore(CrashSafeDatastore, DICOMWebDatastore):
    """The series of an archive as MONAI Label's images; a series is labelled once a DICOM SEG refers to it.

    It is a ``DICOMWebDatastore`` because MONAI Label asks for that type before it answers with a DICOM SEG. The stock
    class forgets for hours what was labelled, asks the archive for every segmentation anew, numbers the segments by
    what happens to be drawn, and reads back a smaller volume than was submitted.

    Args:
        pool: of the archive.
        labels: names of the labels 1, 2, ...

    Attributes:
        remarks: image -> what is odd about the label that was submitted last; empty if nothing is.
    """

    def __init__(self, pool: ArchivePool, labels: Sequence[str]) -> None:
        self._pool, self._names = pool, tuple(labels)
        self._client = pool.archive.client
        self._search_filter = dict(pool.query.filters)
        self._fetch_by_frame, self._convert_to_nifti = False, True
        self._files = SeriesFiles(pool)
        self.remarks: dict[str, str] = {}
        self._left_out: list[tuple[str, str]] = []
        # The stock constructor would watch the folder, into which thousands of files are fetched.
        CrashSafeDatastore.__init__(self, str(pool.cache.root), extensions=(f"*{NIFTI}",), auto_reload=False)

    def name(self) -> str:
        """URL of the archive."""
        return self._pool.archive.url

    @property
    def images(self) -> frozenset[str]:
        """uids of the series of the pool; the same object as long as none comes or goes."""
        return self._pool.images()

    @property
    def labelled(self) -> frozenset[str]:
        """uids of the series with a segmentation in the archive; the same object likewise."""
        return self._pool.labelled()

    def list_images(self) -> list[str]:
        """uids of the series of the pool, sorted."""
        return list(self._pool.series())

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """uids of the series with a segmentation in the archive, sorted."""
        return sorted(self._pool.labelled())

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """uids of the other series, sorted."""
        return sorted(self.images - self.labelled)

    def get_image_uri(self, image_id: str) -> str:
        """NIfTI file of a series, fetched and converted if it is not here yet, be it in the pool or not.

        Raises:
            HTTPException: there is no such series (404), the archive does not give it (503), or it cannot be
                decoded (422).
        """
        return str(self._files.ready(image_id))

    def image_path(self, image_id: str) -> str:
        """Where the NIfTI file of a series is, or will be."""
        return str(self._files.path(image_id))

    def make_ready(self, image_id: str) -> None:
        """Convert a series in a while, in the background: whoever was given it may want it segmented."""
        self._files.prepare(image_id)

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What the archive says of the series, and what viewers noted."""
        series = self._pool.series().get(image_id)
        if series is None:
            return {}
        return {
            **{name: value for name, value in self._pool.note(image_id).items() if name != "id"},
            **dict.fromkeys(("PatientID", "StudyDate", "StudyTime"), "UNK"),  # OHIF shows them in any case
            **series.info,
            "SeriesInstanceUID": series.uid,
            "StudyInstanceUID": series.study,
            "Modality": series.modality,
            "RetrieveURL": f"{self.name()}/studies/{series.study}/series/{series.uid}",
            "name": f"{image_id}{NIFTI}",  # 3D Slicer saves the file under it, and goes by its ending
            "path": self.image_path(image_id),
        }

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Note something about a series."""
        self._series(image_id)
        self._pool.add_note(image_id, checked_notes(info))

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any], label_id: str = ""
    ) -> str:
        """Keep a label; a final one becomes a DICOM SEG in the archive first.

        A label on which nothing is drawn cannot be a DICOM SEG: it is kept here alone.

        Raises:
            HTTPException: no such series (404), a label that does not fit it (422), or no answer from the archive
                (503); nothing is kept then.
        """
        plain_name("tag", label_tag)
        series = self._series(image_id)
        info = checked_info(label_info)
        with tempfile.TemporaryDirectory() as temporary:
            try:
                folder = self._pool.cache.fetch(series)
                reference = series_image(folder)
                given = Path(label_filename)
                if given.name.endswith(".bin"):  # the voxels alone
                    given = voxels_file(given, reference, Path(temporary))
                segments = segment_names(info.get("label_info"))
                label, odd = read_label_file(given, reference, self._names, segments)
                self.remarks[image_id] = odd
                if label_tag != _FINAL:
                    self._keep(image_id, label, label_tag, info, Path(temporary))
                    return image_id
                info |= self._submit(series, label, folder, Path(temporary))
            except ArchiveError as error:
                raise HTTPException(503, f"The label is not stored, submit it again later: {error}") from None
            except UserError as error:
                raise HTTPException(422, str(error)) from None
            try:
                self._keep(image_id, label, label_tag, info, Path(temporary))
            except (HTTPException, RuntimeError, OSError) as error:  # the archive has it: the trainer fetches it then
                logger.warning("The label of %s is in the archive, but not kept here: %s", image_id, error)
        return image_id

    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        """NIfTI file of a label on the voxels of its image; empty if there is none.

        Raises:
            HTTPException: the segmentation cannot be had (503) or not be read (422).
        """
        image = image_id or label_id
        with self._busy:  # but not the lock of the folder, for which the disk would have to be writable
            self._take_over()
        segmentation = self._pool.labels.segmentation(image) if label_tag == _FINAL else None
        if segmentation is None or self._is_kept(image, segmentation.uid):
            return str(LocalDatastore.get_label_uri(self, image, label_tag))
        with tempfile.TemporaryDirectory() as temporary:
            try:
                reference = series_image(self._pool.cache.fetch(self._series(image)))
                files: list[Path] = []
                if segmentation.study:  # otherwise nothing is drawn
                    found = Series(segmentation.uid, segmentation.study, "SEG")
                    self._pool.archive.download(found, Path(temporary))
                    files = sorted(Path(temporary).glob("*.dcm"))
                label = read_segmentation(files, reference, self._names)
                self._keep(image, label, _FINAL, {"SeriesInstanceUID": segmentation.uid}, Path(temporary))
            except ArchiveError as error:
                raise HTTPException(503, f"The label of {image} cannot be fetched: {error}") from None
            except UserError as error:
                raise HTTPException(422, f"{image}: {error}") from None
        return str(LocalDatastore.get_label_uri(self, image, _FINAL))

    def _is_kept(self, image: str, segmentation: str) -> bool:
        """Whether the label file here is that of this segmentation, with the present numbers on the present voxels."""
        kept = self._datastore.label(image, _FINAL)
        if kept is None or kept.info.get("SeriesInstanceUID") != segmentation:
            return False
        file = Path(LocalDatastore.get_label_uri(self, image, _FINAL))
        names = recorded_names(kept.info, file)
        same = names in (self._names, with_ignore(self._names))
        return same and is_current(file, self._pool.cache.folder(image))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Refused: the archive has the images."""
        raise HTTPException(
            422, f"image '{image_id}': store its series in the archive; it joins the pool within a minute."
        )

    def remove_image(self, image_id: str) -> None:
        """Refused: the archive has the images."""
        raise HTTPException(422, f"image '{image_id}': delete its series in the archive, or skip it with xssr pool.")

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """As the base class; a final label is refused, for the archive has it, unless nothing is drawn on it.

        Raises:
            HTTPException: the label is in the archive (422).
        """
        if label_tag == _FINAL and not self._pool.labels.forget_empty(label_id):
            raise HTTPException(422, f"label of '{label_id}': delete its segmentation in the archive.")
        LocalDatastore.remove_label(self, label_id, label_tag)

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Images and final labels to train on; a label that cannot be had is left out with a warning."""
        pairs = []
        self._left_out = []
        for image in self.get_labeled_images():
            try:
                pairs.append(self._pair(image))
            except HTTPException as error:
                self._left_out.append((image, error.detail))
                logger.warning("left out of the training: %s", error.detail)
        if full_path:
            return pairs
        root = self._pool.cache.root
        return [pair | {kind: os.path.relpath(pair[kind], root) for kind in ("image", "label")} for pair in pairs]

    def _pair(self, image: str) -> dict[str, Any]:
        """Image and final label, with the names of the label's numbers."""
        label = self.get_label_uri(image, _FINAL)
        return labelled_pair(
            self.get_image_uri(image), label, recorded_names(self.get_label_info(image, _FINAL), Path(label))
        )

    def unmatched_labels(self) -> list[tuple[str, str]]:
        """(series, reason) of the labels that the last :meth:`datalist` left out."""
        return self._left_out

    def status(self) -> dict[str, Any]:
        """How many series and labels there are."""
        completed = len(self.labelled)
        others = CrashSafeDatastore.status(self)["label_tags"]
        return {"total": len(self.images), "completed": completed, "label_tags": {**others, _FINAL: completed}}

    def _series(self, image_id: str) -> Series:
        series = self._pool.series().get(image_id)
        if series is None:
            raise HTTPException(404, f"{image_id}: the archive has no such series among those to annotate.")
        return series

    def _submit(self, series: Series, label: Any, folder: Path, temporary: Path) -> dict[str, Any]:
        made = time.strftime("%Y%m%d%H%M%S")
        if not _drawn(label):
            logger.warning("Nothing is drawn on %s: the label is kept here, a DICOM SEG cannot be empty.", series.uid)
            self._pool.labels.submitted_empty(series.uid, made)
            return {"SeriesInstanceUID": f"empty {series.uid}"}
        file = temporary / "segmentation.dcm"
        uid = write_segmentation(label, folder, self._names, file)
        self._pool.submit(series, uid, file, made)
        return {"SeriesInstanceUID": uid, "StudyInstanceUID": series.study, "Modality": "SEG"}

    def _keep(self, image_id: str, label: Any, tag: str, info: dict[str, Any], temporary: Path) -> None:
        self.get_image_uri(image_id)  # the base class forgets labels without an image
        file = temporary / f"label{NIFTI}"
        write_nifti(label, file)
        ignored = sitk.GetArrayViewFromImage(label).max() > len(self._names)
        names = with_ignore(self._names) if ignored else self._names
        CrashSafeDatastore.save_label(self, image_id, str(file), tag, info | record(file, names))

    def _indexed(self, image_id: str) -> ImageLabelModel:
        """As the base class; the folder was read before the series was converted."""
        if image_id not in self._datastore.objects:
            self._put({image_id: ImageLabelModel(image=DataModel(ext=NIFTI))})
        return super()._indexed(image_id)


def _drawn(label: Any) -> bool:
    return bool(np.any(sitk.GetArrayViewFromImage(label)))
