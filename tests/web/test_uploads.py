from __future__ import annotations

import io
from typing import Any

import pytest
from fastapi import HTTPException
from starlette.datastructures import UploadFile

from xssr_strategy.web.uploads import check_upload, names_another_file


def upload(name: Any, content: bytes = b"voxels") -> UploadFile:
    return UploadFile(io.BytesIO(content), filename=name)


@pytest.mark.parametrize("name", ["", None, "..", "a\0.png", "x" * 300 + ".png"])
def test_a_name_that_is_of_no_use_is_refused(name: Any) -> None:
    with pytest.raises(HTTPException, match="no usable name"):
        check_upload(upload(name))


def test_a_file_is_left_as_it_came() -> None:
    file = upload("image.png")
    check_upload(file)
    assert file.file.read() == b"voxels"


@pytest.mark.parametrize(
    ("name", "head", "elsewhere"),
    [
        ("a.mhd", b"ObjectType = Image\nElementDataFile = /etc/passwd\n", True),
        ("a.MHA", b"ElementDataFile = list\n", True),
        ("a.mha", b"ElementDataFile = LOCAL\n\0\0", False),
        ("a.mha", b"no header", True),
        ("a.nrrd", b"NRRD0004\ndata file: other.raw\n", True),
        ("a.nrrd", b"NRRD0004\nsizes: 2 2\n\n\0\0", False),
        ("a.png", b"ElementDataFile = x", False),
    ],
)
def test_a_header_that_names_another_file(name: str, head: bytes, elsewhere: bool) -> None:
    assert names_another_file(name, head) is elsewhere
    if elsewhere:
        with pytest.raises(HTTPException, match="its voxels are in another file"):
            check_upload(upload(name, head))
