"""MONAI Label's local datastore, for all the formats that the software reads."""

from __future__ import annotations

from pathlib import Path

from monailabel.config import settings
from monailabel.datastore.local import LocalDatastore

from xssr_strategy.images.listing import EXTENSIONS, is_series


class StudiesDatastore(LocalDatastore):
    """A folder of images; a subfolder that holds a DICOM series is one image.

    The stock datastore lists by a fixed set of extensions and does not know series.

    Args:
        studies: the folder.
    """

    def __init__(self, studies: str) -> None:
        ours = [f"*{extension}" for extension in EXTENSIONS]
        super().__init__(
            studies,
            extensions=list(dict.fromkeys([*settings.MONAI_LABEL_DATASTORE_FILE_EXT, *ours])),
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        files: dict[str, str] = super()._list_files(path, patterns)
        if Path(path) == Path(self._datastore.image_path()):
            files |= {entry.name: entry.name for entry in Path(path).iterdir() if is_series(entry)}
        return files

    def _to_id(self, file: str) -> tuple[str, str]:
        if is_series(Path(self._datastore.image_path()) / file):
            return file, ""  # a series may be named by its UID, whose dots are no extensions
        name: tuple[str, str] = super()._to_id(file)
        return name
