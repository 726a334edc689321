"""MONAI Label's local datastore, of which a kill or a full disk leaves no half file, and which two threads may use."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException

from xssr_strategy.datastores.folder_watch import WatchedDatastore
from xssr_strategy.datastores.image_sets import NO_IMAGES, ImageSets
from xssr_strategy.storage.atomic_files import copy_atomic, remove_leftovers

logger = logging.getLogger(__name__)

_QUIET = 60.0  # seconds without a change after which the index is written whole (our choice)
_FINAL = DefaultLabelTag.FINAL


class CrashSafeDatastore(WatchedDatastore):
    """The truth is in the folders of images and labels; the index beside them can be made anew from these.

    No mapping of the index is changed in its place: another thread may be going through it. A label or a note is a line
    beside the index, which is written whole when images come or go, and when nothing has changed for a minute.

    The stock class writes labels, images and its index in place, so that a kill or a full disk leaves half of them; it
    refuses to start with half an index; while it looks at the folder again, in another thread, the pool is empty for a
    moment; and two servers on one folder write over what the other has noted.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Held before the lock on the folder, which keeps out other processes only.
        self._busy = threading.RLock()
        self._later: threading.Timer | None = None
        self._sets = ImageSets()
        LocalDatastore.__init__(self, *args, **kwargs)  # an archive's class comes between
        if self._auto_reload:
            self._handler.on_moved = self._on_moved  # rsync, and whoever else writes whole files
            self._handler.patterns.append(str(self._index.changes))
            self._write_whole()
        for folder in (self._datastore.image_path(), *(self._datastore.label_path(tag) for tag in self._tags())):
            remove_leftovers(Path(folder))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """As the base class, but nothing is written over.

        Raises:
            HTTPException: there is an image of this name, though it were copied into the folder a moment ago (409).
            OSError: the image cannot be written.
        """
        name, extension = self._to_id(os.path.basename(image_filename))
        image_id = image_id or name
        file = self._filename(image_id, extension)
        with self._current_index():
            if image_id in self._datastore.objects or self._is_in_folder(image_id):
                raise HTTPException(409, f"image '{image_id}': there is one of this name already; rename the file.")
            copy_atomic(Path(image_filename), Path(self._datastore.image_path()) / file)
            info = {**(image_info or {}), "ts": int(time.time()), "name": file}
            self._put({image_id: ImageLabelModel(image=DataModel(info=info, ext=extension))})
            self._note_change(image_id)
        return image_id

    @property
    def images(self) -> frozenset[str]:
        """Ids of all images; the same object as long as none comes or goes."""
        return self._sets.images(self._datastore.objects)

    @property
    def labelled(self) -> frozenset[str]:
        """Ids of the images with a final label; the same object as long as no label comes or goes."""
        return self._sets.tagged(self._datastore.objects).get(_FINAL, NO_IMAGES)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """As the base class."""
        labelled = self.labelled
        return [image for image in self._datastore.objects if image in labelled] if labelled else []

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """As the base class."""
        labelled = self.labelled
        return [image for image in self._datastore.objects if image not in labelled]

    def status(self) -> dict[str, Any]:
        """As the base class."""
        tags = {tag: len(images) for tag, images in self._sets.tagged(self._datastore.objects).items() if images}
        return {"total": len(self.images), "completed": len(self.labelled), "label_tags": tags}

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """As the base class; once it has returned, the label outlives a power cut.

        Raises:
            ImageNotFoundException: there is no such image.
            OSError: the label cannot be written; the one that was there before is.
        """
        extension = self._to_id(os.path.basename(label_filename))[1]
        file = self._filename(image_id, extension)
        folder = Path(self._datastore.label_path(label_tag))
        with self._current_index():
            image = self._indexed(image_id)
            copy_atomic(Path(label_filename), folder / file)
            before = image.labels.get(label_tag)
            if before is not None and before.ext != extension:
                (folder / self._filename(image_id, before.ext)).unlink(missing_ok=True)
            info = {**(label_info or {}), "ts": int(time.time()), "name": file}
            image.labels = {**image.labels, label_tag: DataModel(info=info, ext=extension)}
            self._note_change(image_id)
        return image_id

    def unmatched_labels(self) -> list[tuple[str, str]]:
        """(what, reason) of the labels that :meth:`datalist` leaves out; none, where a folder knows of none."""
        return []

    def _indexed(self, image_id: str) -> ImageLabelModel:
        """The entry of an image, asked for within :meth:`_current_index`."""
        image = self._datastore.objects.get(image_id)
        if image is None:
            raise ImageNotFoundException(f"Image {image_id} not found")
        return image

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """As the base class."""
        with self._current_index():
            entry = self._indexed(image_id).image
            entry.info = {**entry.info, **info}
            self._note_change(image_id)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """As the base class."""
        with self._current_index():
            label = self._datastore.label(label_id, label_tag)
            if label is None:
                raise LabelNotFoundException(f"Label: {label_id} Tag: {label_tag} not found")
            label.info = {**label.info, **info}
            self._note_change(label_id)

    def _update_datastore_file(self, lock: bool = True) -> None:
        if lock:
            with FileLock(self._lock_file):
                self._update_datastore_file(lock=False)
            return
        self._index.write(self._datastore)

    def _note_change(self, image_id: str) -> None:
        """Write what the index says of one image now."""
        self._sets.note(self._datastore.objects, image_id)
        self._index.note(self._datastore, image_id)
        if self._auto_reload:
            self._write_whole_later()

    def _write_whole(self) -> None:
        """Write the index with its lines, for programs that know nothing of these; again later if that fails."""
        if self._index.dirty and Path(self._datastore_path).is_dir():
            with self._current_index():
                self._index.write(self._datastore)
            if self._index.dirty:
                self._write_whole_later()

    def _write_whole_later(self) -> None:
        """Do so when nothing has changed for a minute."""
        if self._later is not None:
            self._later.cancel()
        self._later = threading.Timer(_QUIET, self._write_whole)
        self._later.daemon = True
        self._later.start()

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        with self._current_index():
            pass

    @contextmanager
    def _current_index(self) -> Iterator[None]:
        """Keep other threads and processes from the index, and read it if one of them has written it."""
        with self._busy, FileLock(self._lock_file):
            self._take_over()
            yield

    def _take_over(self) -> None:
        """Read the index if another process has written it."""
        model, changed = self._index.read(self._datastore)
        if model is not self._datastore:
            model.base_path = self._datastore_path
            self._datastore = model
        for image in changed:
            self._sets.note(model.objects, image)

    def _reconcile_datastore(self) -> None:
        """Bring the index up to date with the folders; another thread sees the images of before or of now."""
        with self._current_index():
            before = self._datastore.objects
            now = self._on_disk(before)
            if now == before and Path(self._datastore_config_path).exists():
                return
            new, gone = len(now.keys() - before.keys()), len(before.keys() - now.keys())
            labels = [sum(len(image.labels) for image in images.values()) for images in (before, now)]
            logger.info("Folder read: %d images are new, %d gone; labels: %d, before %d.", new, gone, *labels[::-1])
            self._datastore.objects = now
            self._update_datastore_file(lock=False)

    def _is_in_folder(self, image_id: str) -> bool:
        folder = Path(self._datastore.image_path())
        return any((folder / self._filename(image_id, pattern.lstrip("*"))).exists() for pattern in self._extensions)

    def _on_disk(self, known: Mapping[str, ImageLabelModel]) -> dict[str, ImageLabelModel]:
        """The images and labels of the folders, with what is known of them; the known ones come first."""
        images = self._extensions_of(self._datastore.image_path())
        labels = {tag: self._extensions_of(self._datastore.label_path(tag)) for tag in self._tags()}
        for tag, files in labels.items():
            if unmatched_labels := sorted(files.keys() - images.keys()):
                logger.warning(
                    "%d labels of tag %s have no image, for example %r.",
                    len(unmatched_labels),
                    tag,
                    unmatched_labels[0],
                )
        found = {}
        for image in {image: None for image in [*known, *sorted(images)] if image in images}:
            old = known.get(image)
            found[image] = ImageLabelModel(
                image=self._entry(image, images[image], old and old.image),
                labels={
                    tag: self._entry(image, files[image], old and old.labels.get(tag))
                    for tag, files in labels.items()
                    if image in files
                },
            )
        return found

    def _entry(self, image: str, extensions: list[str], known: DataModel | None) -> DataModel:
        if known is not None and known.ext in extensions:
            return known
        return DataModel(info={"ts": int(time.time()), "name": self._filename(image, extensions[0])}, ext=extensions[0])

    def _extensions_of(self, folder: str) -> dict[str, list[str]]:
        """id -> extensions of its files, those that are listed first count."""
        files: dict[str, list[str]] = {}
        for file in self._list_files(folder, self._extensions):
            if not file.startswith("."):
                name, extension = self._to_id(file)
                files.setdefault(name, []).append(extension)
        return files

    def _tags(self) -> list[str]:
        return sorted(entry.name for entry in Path(self._datastore.label_path(None)).iterdir() if entry.is_dir())

    def _put(self, images: Mapping[str, ImageLabelModel]) -> None:
        self._datastore.objects = {**self._datastore.objects, **images}
