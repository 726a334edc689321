"""MONAI Label's local datastore, for all the formats that the software reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.config import settings
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

from xssr_strategy.images.listing import EXTENSIONS, find_images, image_extension
from xssr_strategy.images.reading import UnreadableImage, read_image


class StudiesDatastore(LocalDatastore):
    """A folder of images, listed as ``xssr select`` lists it; a subfolder that holds a DICOM series is one image.

    The stock datastore knows fewer formats, no series, and no upper-case extensions, and it writes
    wherever an id or a tag points to.

    Args:
        studies: the folder.
        watch: notice images that arrive while the server runs.
    """

    def __init__(self, studies: str, watch: bool = True) -> None:
        super().__init__(
            studies,
            extensions=[f"*{extension}" for extension in EXTENSIONS],
            auto_reload=watch and settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """As the base class, for an id that is a plain name.

        Raises:
            HTTPException: the id would lead out of the folder (422).
        """
        added: str = super().add_image(plain_name("image", image_id or ""), image_filename, image_info)
        return added

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """As the base class, for a tag that is a plain name and a label that can be read.

        Raises:
            HTTPException: there is no such image (404), the label is damaged, or the tag would lead out of the folder
                of labels (422); nothing is kept then.
        """
        if image_id not in self._datastore.objects:
            raise HTTPException(404, f"image '{image_id}' does not exist; name the id of an image of the studies.")
        try:
            read_image(label_filename)
        except UnreadableImage:
            raise HTTPException(422, "The label cannot be read: it is damaged or cut off; submit it again.") from None
        saved: str = super().save_label(image_id, label_filename, plain_name("tag", label_tag), label_info)
        return saved

    def is_labelled_on_disk(self, image_id: str) -> bool:
        """Whether a final label lies in the folder, be it one of another server that this one has not noticed yet."""
        final = Path(self._datastore.label_path(DefaultLabelTag.FINAL))
        return any((final / f"{image_id}{extension}").exists() for extension in EXTENSIONS)

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        if Path(path) == Path(self._datastore.image_path()):
            return {file.name: file.name for file in find_images(Path(path)).values()}
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


def plain_name(what: str, name: str) -> str:
    """The name, if it leads out of no folder.

    Raises:
        HTTPException: it might (422).
    """
    if Path(name).name != name:
        raise HTTPException(422, f"{what} '{name}': must be a plain name, without folders.")
    return name
