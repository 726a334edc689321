"""The index of MONAI Label's local datastore as a file that several processes read and write."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastoreModel
from pydantic import BaseModel

from xssr_strategy.labels.records import is_recorded
from xssr_strategy.storage.change_log import ChangeLog, FileState

logger = logging.getLogger(__name__)

_LINES = 1000  # changes after which the index is written whole (our choice)


class DatastoreIndex:
    """The file, which is written whole when images come or go; a label or a note is a line beside it.

    What memory knows and the files do not is merged with them and written as soon as that can be done: nothing that was
    noted here is lost to a full disk, to damage, or to another program. Whoever calls holds the lock on the folder.

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
        self._unwritten: set[str] = set()  # images of which memory knows more than the files
        self._incomplete = True  # the file itself has to be written

    @property
    def dirty(self) -> bool:
        """Whether the file itself, without its lines, lacks anything that is known."""
        return bool(self._unwritten) or self._incomplete or self._lines > 0

    def read(self, model: LocalDatastoreModel) -> tuple[LocalDatastoreModel, tuple[str, ...]]:
        """The index as it is now, and the images that were changed in the mapping that it had before.

        It is the model itself unless the file is another. What is damaged is moved aside.

        Args:
            model: as it was read or written last.
        """
        try:
            state = self._log.state()
            if state == self._known:
                return model, ()
            same_file = self._known is not None and state[0] == self._known[0]
            lines, count = self._read_lines()
            found = model if same_file else self._read_file() or model
        except FileNotFoundError:
            self._known, self._incomplete = None, True
            return model, ()
        except OSError as error:  # of a network folder, for a moment
            logger.error("%s cannot be read: %s", self.path, error)
            return model, ()
        self._incomplete = self._incomplete or (same_file and count < self._lines)  # some have gone
        self._known, self._lines = state, count
        written = lines if found is model else {**found.objects, **lines}
        now = {image: self._resolved(image, entry, model.objects.get(image)) for image, entry in written.items()}
        changed: tuple[str, ...] = ()
        if found is model and now.keys() <= model.objects.keys():
            model.objects.update(now)  # no key comes, so that another thread may be going through it
            changed = tuple(now)
        else:
            kept = (
                model.objects
                if found is model
                else {i: model.objects[i] for i in self._unwritten & model.objects.keys()}
            )
            found.objects = {**kept, **now}
        if self._unwritten or self._incomplete:
            self._flush(found)
        return found, changed

    def _resolved(self, image: str, written: ImageLabelModel, known: ImageLabelModel | None) -> ImageLabelModel:
        """What counts of an image: what is written, unless it lacks what was noted here."""
        if known is None or known == written:
            return written
        now = _merged(written, known) if image in self._unwritten else _with_notes(written, known)
        if now != written:
            self._unwritten.add(image)
        return now

    def _read_file(self) -> LocalDatastoreModel | None:
        """The file itself, or None if it is damaged."""
        self._incomplete = (self._incomplete and self._known is not None) or not self._log.marked
        try:
            return LocalDatastoreModel.model_validate_json(self.path.read_bytes())
        except ValueError:
            aside = self._aside(self.path)
            logger.error("%s was damaged: it is kept as %s and made anew from the files.", self.path, aside.name)
            self._incomplete = True
            return None

    def _read_lines(self) -> tuple[dict[str, ImageLabelModel], int]:
        """What the lines say, of an image the last, and how many there are; damaged ones are left out."""
        entries: dict[str, ImageLabelModel] = {}
        damaged, lines = not self._log.begins_well, list(self._log.lines())
        for line in lines:
            try:
                entries[line["image"]] = ImageLabelModel.model_validate(line["entry"])
            except (ValueError, KeyError, TypeError):
                damaged = True
        if damaged:
            aside = self._aside(self.changes)
            logger.error("%s was damaged: it is kept as %s.", self.changes, aside.name)
            self._unwritten.update(entries)
        return entries, len(lines)

    def _aside(self, file: Path) -> Path:
        stem, dot, ending = file.name.partition(".")
        return file.replace(file.with_name(f"{stem}.damaged-{time.time_ns()}{dot}{ending}"))

    def write(self, model: LocalDatastoreModel) -> None:
        """Write all of it; what cannot be written is told in the log and written with the next change."""
        self._incomplete = True
        self._flush(model)

    def note(self, model: LocalDatastoreModel, image: str) -> None:
        """Write what the index says of one image now, as :meth:`write`."""
        self._unwritten.add(image)
        self._flush(model)

    def _flush(self, model: LocalDatastoreModel) -> None:
        """Write what is not written yet: the file if need be, or where that does not succeed, lines."""
        whole = self._incomplete or self._lines >= _LINES or not self._log.marked
        if whole and self._written(lambda: self._log.write(_as_json(model, indent=2))):
            self._incomplete = False
            self._unwritten.clear()
            return
        for image in sorted(self._unwritten):  # of which few fit where the whole does not
            entry = model.objects.get(image)
            change = None if entry is None else {"image": image, "entry": json.loads(_as_json(entry))}
            if change is None or self._written(lambda change=change: self._log.append(change)):  # type: ignore[misc]
                self._unwritten.discard(image)

    def _written(self, write: Callable[[], int]) -> bool:
        """Whether it could be written; ``write`` tells how many lines there are then."""
        try:
            self._lines = write()
            self._known = self._log.state()
        except ValueError:  # the file has gone, or is another program's, since it was looked at
            return False
        except OSError as error:  # what it tells of is safe
            reason = error.strerror
            logger.error("%s cannot be written (%s): make room; it is written with the next change.", self.path, reason)
            return False
        return True


def _with_notes(written: ImageLabelModel, known: ImageLabelModel) -> ImageLabelModel:
    """What is written, with what was noted here of labels of which the writer knew nothing but the file.

    The names of a label's numbers are among it. They belong to one content of the file, and count for no other.
    """
    labels = dict(written.labels)
    for tag, label in written.labels.items():
        noted = known.labels.get(tag)
        if noted is not None and noted.ext == label.ext and is_recorded(noted.info) and not is_recorded(label.info):
            labels[tag] = DataModel(ext=label.ext, info={**noted.info, **label.info})
    return ImageLabelModel(image=written.image, labels=labels)


def _merged(written: ImageLabelModel, known: ImageLabelModel) -> ImageLabelModel:
    """Both: of each label what was noted last, of the image what is known here before what is written."""
    labels = {**known.labels, **_with_notes(written, known).labels}
    for tag, label in known.labels.items():
        if _time(label) >= _time(labels[tag]):
            labels[tag] = label
    return ImageLabelModel(
        image=DataModel(ext=written.image.ext, info={**written.image.info, **known.image.info}), labels=labels
    )


def _time(entry: DataModel) -> float:
    time_noted: Any = entry.info.get("ts", 0)
    return float(time_noted) if isinstance(time_noted, int | float) else 0.0


def _as_json(model: BaseModel, indent: int | None = None) -> bytes:
    left_out = {"base_path"}
    try:
        return model.model_dump_json(exclude=left_out, indent=indent).encode()
    except ValueError:  # half a surrogate pair, or a value that only Python knows, in what a client noted
        text = json.dumps(model.model_dump(exclude=left_out), indent=indent, default=str, ensure_ascii=False)
        return text.encode("utf-8", "replace")
