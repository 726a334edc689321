"""Uploaded files: none may have a name that leads elsewhere, or be a header that names another file of the server."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from fastapi import HTTPException
from starlette.datastructures import UploadFile

_LONGEST = 200  # bytes of a name; file systems take 255, and MONAI Label puts something before (our choice)
_HEADER = 1 << 16  # bytes in which a header ends (our choice)
_META_IMAGE = (".mha", ".mhd")
_META_DATA = re.compile(rb"^\s*ElementDataFile\s*=\s*(.*?)\s*$", re.MULTILINE)
_NRRD_DATA = re.compile(rb"^data ?file:", re.MULTILINE | re.IGNORECASE)


def check_upload(upload: UploadFile) -> None:
    """Refuse what MONAI Label or a reader of images fails at, or what names another file of the server.

    Raises:
        HTTPException: the name is no file name, or the image is in another file (422).
    """
    name = PurePosixPath(upload.filename or "").name
    if name in ("", "..") or "\0" in name or len(name.encode(errors="replace")) > _LONGEST:
        raise HTTPException(422, "The uploaded file has no usable name; give it a short one, such as image.nii.gz.")
    head = upload.file.read(_HEADER)
    upload.file.seek(0)
    if names_another_file(name, head):
        raise HTTPException(
            422, f"{name}: its voxels are in another file, which is not looked for; save image and header as one file."
        )


def names_another_file(name: str, head: bytes) -> bool:
    """Whether an image of this name that begins like this is a header that names the file of its voxels.

    ITK would read whatever file of the server it names. A series in a folder refers to no other files.
    """
    if name.lower().endswith(_META_IMAGE):
        found = _META_DATA.search(head)
        return found is None or found[1].upper() != b"LOCAL"
    return head.startswith(b"NRRD") and _NRRD_DATA.search(re.split(rb"\r?\n\r?\n", head)[0]) is not None
