"""What a datastore does when its folder changes; the watcher of the folder calls it in a thread of its own."""

from __future__ import annotations

import logging
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from monailabel.datastore.local import LocalDatastore, LocalDatastoreModel

from xssr_strategy.datastores.index import DatastoreIndex

logger = logging.getLogger(__name__)

_SETTLE = 0.3  # seconds in which changes of the folder are gathered: 5,000 images arrive one by one (our choice)


class WatchedDatastore(LocalDatastore):
    """MONAI Label's local datastore with other answers to what its watcher sees.

    The subclass makes ``_busy``, which is held before the lock on the folder and keeps out other threads.
    """

    _busy: threading.RLock
    _soon: threading.Timer | None = None
    _datastore: LocalDatastoreModel

    @cached_property
    def _index(self) -> DatastoreIndex:
        return DatastoreIndex(Path(self._datastore_config_path))

    def _on_any_event(self, event: Any) -> None:
        if self._is_index(event.src_path):
            self._look_at_index()
            return
        if event.event_type == "deleted" or not self._is_known(Path(event.src_path)):
            self._refresh_soon()

    def _on_modify_event(self, event: Any) -> None:
        if self._is_index(event.src_path):
            self._look_at_index()

    def _on_moved(self, event: Any) -> None:
        if self._is_index(event.dest_path):
            self._look_at_index()
        elif not self._is_known(Path(event.dest_path)):
            self._refresh_soon()

    def _look_at_index(self) -> None:
        """Read the index, or have it made anew; an error would end the watcher."""
        try:
            if self._index.path.exists():
                self._init_from_datastore_file()
            else:
                self._refresh_soon()
        except OSError as error:
            logger.error("%s cannot be read: %s", self._index.path, error)

    def _is_index(self, path: str) -> bool:
        return path in (str(self._index.path), str(self._index.changes))

    def _is_known(self, file: Path) -> bool:
        """Whether the index tells of a file, as it does of those that were written here, once they are."""
        if not file.exists():
            return False
        name, extension = self._to_id(file.name)
        with self._busy:  # or a label that is just being written would be taken for somebody else's
            image = self._datastore.objects.get(name)
        if image is None:
            return False
        in_pool = file.parent == Path(self._datastore.image_path())
        entry = image.image if in_pool else image.labels.get(file.parent.name)
        return entry is not None and entry.ext == extension

    def _refresh_soon(self) -> None:
        with self._busy:
            if self._soon is None:
                self._soon = threading.Timer(_SETTLE, self._refresh_now)
                self._soon.daemon = True
                self._soon.start()

    def _refresh_now(self) -> None:
        with self._busy:
            self._soon = None
        self.refresh()
