"""MONAI Label's local datastore, for all the formats that the software reads."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.datastore import DefaultLabelTag

from xssr_strategy.datastores.crash_safe import CrashSafeDatastore
from xssr_strategy.datastores.label_names import (
    submitted_file,
    unknown_numbers,
    were_trained_as,
)
from xssr_strategy.datastores.metadata import checked_info, checked_notes, plain_name
from xssr_strategy.errors import UserError
from xssr_strategy.images.left_out import Told
from xssr_strategy.images.listing import EXTENSIONS, find_images, fingerprint, image_extension
from xssr_strategy.images.preprocessing import conform
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_grid
from xssr_strategy.labels.reading import examine_label, labelled_pair
from xssr_strategy.labels.records import is_recorded, record, recorded_names
from xssr_strategy.segmentation.publication import published_plan

logger = logging.getLogger(__name__)

_FINAL = DefaultLabelTag.FINAL
_DAMAGED = "The label cannot be read: it is damaged or cut off; submit it again."


class StudiesDatastore(CrashSafeDatastore):
    """A folder of images, listed as ``xssr select`` lists it; a subfolder that holds a DICOM series is one image.

    The stock datastore knows fewer formats, no series, and no upper-case extensions, and it writes
    wherever an id or a tag points to.

    Args:
        studies: the folder.
        watch: notice images that arrive while the server runs.
        preset: kind of image; with it, a label must fit its image.
        labels: names of the labels 1, 2, ...
        links: folder for links to pictures, which viewers open one at a time; None for volumes.
        told: what the log has told of the folder already; each change is told once.

    Attributes:
        remarks: image -> what is odd about the label that was submitted last; empty if nothing is.
    """

    def __init__(
        self,
        studies: str,
        watch: bool = True,
        preset: Preset | None = None,
        labels: Sequence[str] = (),
        links: Path | None = None,
        told: Told | None = None,
    ) -> None:
        self._preset, self._names, self._links = preset, tuple(labels), links
        self._told = told or Told()
        self.remarks: dict[str, str] = {}
        self._left_out: list[tuple[str, str]] = []
        super().__init__(
            studies,
            extensions=[f"*{extension}" for extension in EXTENSIONS],
            auto_reload=watch and settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """As the base class, for an id that is a plain name.

        Raises:
            HTTPException: the id would lead out of the folder (422), or there is an image of this name (409).
        """
        if not image_extension(Path(image_filename)):
            raise HTTPException(422, f"image '{image_id}': must be a file such as .nii.gz, .nrrd, .mha or .png.")
        return super().add_image(plain_name("image", image_id or ""), image_filename, image_info)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """As the base class, for a label that fits its image; its segments get the numbers of their names.

        Raises:
            HTTPException: there is no such image (404); the label is damaged or does not fit, or the tag would lead
                out of the folder of labels (422). Nothing is kept then.
        """
        info = checked_info(label_info)
        if image_id not in self._datastore.objects:
            raise HTTPException(404, f"image '{image_id}' does not exist; name the id of an image of the studies.")
        plain_name("tag", label_tag)
        with tempfile.TemporaryDirectory() as temporary:
            file, odd = Path(label_filename), ""
            try:
                file, names = submitted_file(file, info.get("label_info"), self._names, Path(temporary))
                if self._preset is not None:
                    grid = conform(read_grid(self.get_image_uri(image_id)), self._preset, image_id)
                    odd = examine_label(file, self._names, grid, names)
            except UserError as error:
                raise HTTPException(422, str(error).removeprefix(f"{file}: ")) from None
            saved = super().save_label(image_id, str(file), label_tag, info | record(file, names))
            self.remarks[image_id] = odd
        return saved

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """As the base class.

        Raises:
            HTTPException: what strategies note of an image is none of theirs (422).
        """
        super().update_image_info(image_id, checked_notes(info))

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """As the base class; ``name`` is one under which a viewer may keep its download.

        3D Slicer keeps the downloads of all servers in one folder, and opens a picture whose name holds a number
        together with all the numbered pictures beside it, as one stack. Hence a name of its own for each content, and
        for a picture one of letters only, also where ``path`` leads.
        """
        info: dict[str, Any] = super().get_image_info(image_id)
        if not info:
            return info
        uri = Path(self.get_image_uri(image_id))
        if not uri.is_file():
            return {**info, "PatientID": image_id}  # a series, which viewers open by its folder
        digest = hashlib.sha256(f"{image_id} {fingerprint(uri)}".encode()).hexdigest()
        extension = image_extension(uri)
        if self._links is None:
            return {**info, "name": f"{image_id}-{digest[:10]}{extension}", "PatientID": image_id}
        letters = digest[:20].translate(str.maketrans("0123456789", "ghijklmnop"))
        link = self._links / f"{letters}{extension}"
        if not link.exists():
            self._links.mkdir(parents=True, exist_ok=True)
            beside = self._links / f".{link.name}.{os.getpid()}"
            try:
                os.link(uri, beside)
            except OSError:  # another file system
                shutil.copyfile(uri, beside)
            beside.replace(link)
        return {**info, "name": link.name, "path": str(link), "PatientID": image_id}

    def is_labelled_on_disk(self, image_id: str) -> bool:
        """Whether a final label lies in the folder, be it one of another server that this one has not noticed yet."""
        final = Path(self._datastore.label_path(_FINAL))
        return any((final / f"{image_id}{extension}").exists() for extension in EXTENSIONS)

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """As the base class, with the names of a label's numbers where they are known."""
        if not (full_path and self._names):
            pairs: list[dict[str, Any]] = super().datalist(full_path)
            return pairs
        listed, self._left_out = [], []
        for image, entry in self._datastore.filter_by_tag(_FINAL).items():
            file, info = Path(self.get_label_uri(image, _FINAL)).resolve(), entry.labels[_FINAL].info
            if reason := unknown_numbers(file, info, self._names):
                self._left_out.append((str(file), reason))
                logger.warning("left out of the training: %s", reason)
                continue
            path = str(Path(self.get_image_uri(image)).resolve())
            listed.append(labelled_pair(path, str(file), recorded_names(info, file)))
        return listed

    def note_trained_names(self, model: Path) -> None:
        """Note what the numbers of labels mean that an earlier version has trained on without noting it.

        Args:
            model: the published network, whose plan tells; it has learnt from what had been submitted before.
        """
        labels = {image: entry.labels[_FINAL].info for image, entry in self._datastore.filter_by_tag(_FINAL).items()}
        unnamed = [image for image, info in labels.items() if not is_recorded(info)]
        if unnamed and model.exists():
            with suppress(UserError):  # damaged: whoever uses it is told
                trained, published = published_plan(model).labels, model.stat().st_mtime
                for image in unnamed:
                    if were_trained_as(labels[image], trained, published):
                        file = Path(self.get_label_uri(image, _FINAL))
                        self.update_label_info(image, _FINAL, record(file, trained))

    def unmatched_labels(self) -> list[tuple[str, str]]:
        """(path, reason) of what lies among the final labels, sorted, and is no label of an image; logged, too.

        With it the labels that the last :meth:`datalist` left out.
        """
        folder, known = Path(self._datastore.label_path(_FINAL)), self._datastore.objects
        reasons = {}
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            image = self._to_id(file.name)[0]
            counted = known[image].labels.get(_FINAL) if image in known else None
            if file.name.startswith("."):
                continue
            if image not in known and image_extension(file):
                reasons[file] = f"there is no image '{image}'; put the image back or remove the label"
            elif not image_extension(file):
                reasons[file] = f"is of no format that is read; save it as one of {', '.join(EXTENSIONS)}"
            elif counted is not None and f"{image}{counted.ext}" != file.name:
                reasons[file] = f"{image}{counted.ext} is the label of this image; remove one of the two"
        for file, reason in reasons.items():
            logger.warning("left out of the training: %s: %s", file, reason)
        return [*self._left_out, *((str(file), f"{file}: {reason}") for file, reason in reasons.items())]

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        if Path(path) == Path(self._datastore.image_path()):
            return {file.name: file.name for file in find_images(Path(path), told=self._told).values()}
        files: dict[str, str] = super()._list_files(path, patterns)
        return files

    def _to_id(self, file: str) -> tuple[str, str]:
        if (Path(self._datastore.image_path()) / file).is_dir():
            return file, ""  # a series may be named by its UID, whose dots are no extensions
        extension = image_extension(Path(file))
        if not extension:
            name: tuple[str, str] = super()._to_id(file)
            return name
        return file[: -len(extension)], file[-len(extension) :]
