"""The index of MONAI Label's local datastore as a file that several processes read and write."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
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
        self._lines = 0
        self._behind = True  # what is in memory is not all in the file

    def read(self, model: LocalDatastoreModel) -> LocalDatastoreModel | None:
        """The index, if another process has written it; None otherwise. One that cannot be read is moved aside.

        Args:
            model: as it was read or written last.
        """
        try:
            state = self._log.state()
            if state == self._known:
                return None
            if self._known is None or state[0] != self._known[0]:
                model = LocalDatastoreModel.model_validate_json(self.path.read_bytes())
            lines = {line["image"]: ImageLabelModel.model_validate(line["entry"]) for line in self._log.lines()}
        except FileNotFoundError:
            return None
        except ValueError:
            aside = self.path.with_name(f"{self.path.stem}.damaged-{time.time_ns()}{self.path.suffix}")
            self.path.replace(aside)
            logger.error("%s was damaged: it is kept as %s and made anew from the files.", self.path, aside.name)
            return None
        model.objects = {**model.objects, **lines}
        self._known, self._behind, self._lines = state, not self._log.marked, len(lines)
        return model

    def write(self, model: LocalDatastoreModel) -> None:
        """Write all of it; what cannot be written is told in the log and written with the next change."""
        self._write(lambda: self._log.write(_as_json(model, indent=2)))

    def note(self, model: LocalDatastoreModel, image: str) -> None:
        """Write what the index says of one image now, as :meth:`write`."""
        if self._behind or self._lines >= _LINES:
            self.write(model)
            return
        change = {"image": image, "entry": json.loads(_as_json(model.objects[image]))}
        self._write(lambda: self._log.append(change))

    def _write(self, write: Callable[[], int]) -> None:
        """``write`` tells how many lines there are then."""
        self._behind = True
        try:
            self._lines = write()
            self._known, self._behind = self._log.state(), False
        except OSError as error:  # what it tells of is safe
            logger.error(
                "%s cannot be written (%s): make room; it is made anew from the files.", self.path, error.strerror
            )


def _as_json(model: BaseModel, indent: int | None = None) -> bytes:
    left_out = {"base_path"}
    try:
        return model.model_dump_json(exclude=left_out, indent=indent).encode()
    except ValueError:  # half a surrogate pair, or a value that only Python knows, in what a client noted
        text = json.dumps(model.model_dump(exclude=left_out), indent=indent, default=str, ensure_ascii=False)
        return text.encode("utf-8", "replace")
