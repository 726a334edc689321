"""The index of MONAI Label's local datastore as a file that several processes read and write."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path

from monailabel.datastore.local import ImageLabelModel, LocalDatastoreModel
from pydantic import BaseModel

from xssr_strategy.storage.change_log import ChangeLog, FileState

logger = logging.getLogger(__name__)

_LINES = 1000  # changes after which the index is written whole (our choice)


class DatastoreIndex:
    """The file, which is written whole when images come or go; a label or a note is a line beside it.

    Whoever calls holds the lock on the folder.

    Args:
        path: of the file.

    Attributes:
        path: the same.
        changes: the lines beside it.
    """

    def __init__(self, path: Path) -> None:
        self._log = ChangeLog(path)
        self.path, self.changes = path, self._log.changes
        self._known: tuple[FileState, FileState | None] | None = None
        self._lines = 0  # that are in memory
        self._unwritten: set[str] = set()  # images of which memory knows more than the disk
        self._incomplete = True  # the file itself has to be written

    def read(self, model: LocalDatastoreModel) -> tuple[LocalDatastoreModel, Collection[str]]:
        """The index, if another process has written it, or the model itself, and the images that are others in that.

        What cannot be read is moved aside. What could not be written yet stays as it is in memory.

        Args:
            model: as it was read or written last.
        """
        try:
            state = self._log.state()
        except FileNotFoundError:
            self._known, self._incomplete = None, True
            return model, ()
        if state == self._known:
            return model, ()
        of_before = self._known is not None and state[0] == self._known[0]
        self._incomplete = self._incomplete and of_before
        entries, lines = self._entries()
        if of_before:
            new = {image: entry for image, entry in entries[self._lines :] if image not in self._unwritten}
            self._known, self._lines = state, lines
            if new.keys() <= model.objects.keys():
                model.objects.update(new)  # no key comes, so that another thread may be going through it
                return model, new.keys()
            model.objects = {**model.objects, **new}
            return model, ()
        found = self._whole()
        kept = {image: model.objects[image] for image in self._unwritten if image in model.objects}
        found = found or model
        found.objects = {**found.objects, **dict(entries), **kept}
        self._lines = lines
        return found, ()

    def _whole(self) -> LocalDatastoreModel | None:
        """The file itself, or None if it is damaged."""
        try:
            found = LocalDatastoreModel.model_validate_json(self.path.read_bytes())
        except ValueError:
            aside = self._aside(self.path)
            logger.error("%s was damaged: it is kept as %s and made anew from the files.", self.path, aside.name)
            self._known, self._incomplete = None, True
            return None
        self._known = self._log.state()
        self._incomplete = self._incomplete or not self._log.marked
        return found

    def _entries(self) -> tuple[list[tuple[str, ImageLabelModel]], int]:
        """What the lines say, in their order, and how many there are; those from the first damaged one on are lost."""
        entries = []
        try:
            for line in self._log.lines():
                entries.append((line["image"], ImageLabelModel.model_validate(line["entry"])))
        except (ValueError, KeyError, TypeError):
            aside = self._aside(self.changes)
            self._incomplete = True
            logger.error("%s was damaged: it is kept as %s.", self.changes, aside.name)
        return entries, len(entries)

    def _aside(self, file: Path) -> Path:
        stem, dot, ending = file.name.partition(".")
        return file.replace(file.with_name(f"{stem}.damaged-{time.time_ns()}{dot}{ending}"))

    def write(self, model: LocalDatastoreModel) -> None:
        """Write all of it; what cannot be written is told in the log and written with the next change."""
        self._incomplete = True
        if self._write(lambda: self._log.write(_as_json(model, indent=2))):
            self._incomplete = False
            self._unwritten.clear()

    def note(self, model: LocalDatastoreModel, image: str) -> None:
        """Write what the index says of one image now, as :meth:`write`."""
        self._unwritten.add(image)
        if self._incomplete or len(self._unwritten) > 1 or self._lines >= _LINES or not self._log.marked:
            self.write(model)
            return
        change = {"image": image, "entry": json.loads(_as_json(model.objects[image]))}
        if self._write(lambda: self._log.append(change)):
            self._unwritten.clear()

    def _write(self, write: Callable[[], int]) -> bool:
        """Whether it could be written; ``write`` tells how many lines there are then."""
        try:
            self._lines = write()
            self._known = self._log.state()
        except OSError as error:  # what it tells of is safe
            reason = error.strerror
            logger.error("%s cannot be written (%s): make room; it is made anew from the files.", self.path, reason)
            return False
        return True


def _as_json(model: BaseModel, indent: int | None = None) -> bytes:
    left_out = {"base_path"}
    try:
        return model.model_dump_json(exclude=left_out, indent=indent).encode()
    except ValueError:  # half a surrogate pair, or a value that only Python knows, in what a client noted
        text = json.dumps(model.model_dump(exclude=left_out), indent=indent, default=str, ensure_ascii=False)
        return text.encode("utf-8", "replace")
