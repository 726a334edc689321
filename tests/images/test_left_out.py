"""What a folder holds and a listing passes over is told: how many, which, and why."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.image_files import write_dicom
from xssr_strategy.images.left_out import Told
from xssr_strategy.images.listing import EXTENSIONS, find_images

LINK = "a link to a folder that is looked at without it; name its images once"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def told(caplog: pytest.LogCaptureFixture, folder: Path, recursive: bool = False) -> tuple[list[str], list[str]]:
    caplog.clear()
    return list(find_images(folder, recursive)), [record.getMessage() for record in caplog.records]


def test_nothing_is_told_of_a_folder_of_images_and_what_lies_beside_them(tmp_path: Path, caplog) -> None:
    for name in ("a.png", "notes.txt", "datastore_v2.json", "a.raw", "README", "labels/final/a.png", ".hidden/b.png"):
        touch(tmp_path / name)
    (tmp_path / "empty").mkdir()
    write_dicom(tmp_path / "series" / "IM0001.dcm")
    (tmp_path / "linked").symlink_to(tmp_path / "series")
    assert told(caplog, tmp_path) == (["a", "linked", "series"], [])


def test_a_file_that_may_not_be_read(tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom the system lets read everything is told so here: the tests may run as root."""
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "a.png")
    secret = touch(tmp_path / "core")
    original = Path.open

    def denied(path: Path, *arguments: object, **more: object) -> object:
        if path == secret:
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", denied)
    listed, remarks = told(caplog, tmp_path)
    assert listed == ["a"]
    assert "core" in remarks[0]
    assert "may not be read" in remarks[0]


def test_links_that_lead_nowhere(tmp_path: Path, caplog) -> None:
    touch(tmp_path / "a.png")
    for name in ("b.png", "c.nii.gz", "series", "d.png"):
        (tmp_path / name).symlink_to(tmp_path / "annex" / name)
    assert told(caplog, tmp_path) == (
        ["a"],
        [
            f"4 entries of {tmp_path} are left out (b.png, c.nii.gz, d.png and 1 more): "
            "a link that leads nowhere; mend or remove it."
        ],
    )


def test_what_is_no_file_and_what_is_of_another_format(tmp_path: Path, caplog) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    pixels = Image.fromarray(np.zeros((8, 8), np.uint8))
    for name in ("a.png", "b.bmp", "c.BMP", "d.webp"):
        pixels.save(tmp_path / name)
    np.save(tmp_path / "e.npy", np.zeros(3))
    images, lines = told(caplog, tmp_path)
    assert images == ["a"]
    assert lines == [
        f"4 entries of {tmp_path} are left out (b.bmp, c.BMP, d.webp and 1 more): its format is not read; "
        f"convert it to one of {', '.join(EXTENSIONS)}.",
        f"{tmp_path / 'pipe.png'} is left out: neither a file nor a folder; remove it.",
    ]


def test_dicom_files_without_their_ending(tmp_path: Path, caplog) -> None:
    write_dicom(tmp_path / "a.dcm")
    for name in ("IM0001", "b.ima", "1.2.840.113"):
        (tmp_path / name).write_bytes((tmp_path / "a.dcm").read_bytes())
    touch(tmp_path / "README")
    images, (line,) = told(caplog, tmp_path)
    assert images == ["a"]
    assert line.startswith(
        f"3 entries of {tmp_path} are left out (1.2.840.113, IM0001, b.ima): a DICOM file without .dcm"
    )


def test_subfolders_with_images_are_told_where_they_are_not_looked_into(tmp_path: Path, caplog) -> None:
    touch(tmp_path / "a.png")
    touch(tmp_path / "images" / "b.png")
    touch(tmp_path / "logs" / "c.txt")
    write_dicom(tmp_path / "patient" / "series" / "IM0001.dcm")
    (tmp_path / "linked").symlink_to(tmp_path / "images")
    images, (line,) = told(caplog, tmp_path)
    assert images == ["a"]
    assert line == (
        f"3 entries of {tmp_path} are left out (images, linked, patient): images in a subfolder are not looked at; "
        "put them into the folder itself."
    )
    assert told(caplog, tmp_path, recursive=True)[0] == ["a", "images/b", "patient/series"]


def test_links_to_folders_elsewhere_are_followed_once(tmp_path: Path, caplog) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    touch(root / "a.png")
    touch(other / "x" / "b.png")
    (root / "link").symlink_to(other)
    assert told(caplog, root, recursive=True) == (["a", "link/x/b"], [])
    (root / "same").symlink_to(other / "x")  # is behind the first link
    assert told(caplog, root, recursive=True) == (["a", "link/x/b"], [f"{root / 'same'} is left out: {LINK}."])


def test_no_link_leads_in_circles(tmp_path: Path, caplog) -> None:
    root, other = tmp_path / "up" / "root", tmp_path / "other"
    touch(root / "sub" / "a.png")
    touch(tmp_path / "up" / "outside.png")
    touch(other / "b.png")
    for link, target in (("self", root), ("parent", tmp_path / "up"), ("sub/back", root), ("twin", root / "sub")):
        (root / link).symlink_to(target)
    (root / "other").symlink_to(other)
    (other / "home").symlink_to(root)
    (other / "again").symlink_to(other)
    images, (line,) = told(caplog, root, recursive=True)
    assert images == ["other/b", "sub/a"]
    assert line.startswith(f"6 entries of {root} are left out (other/again, other/home, parent and 3 more): {LINK}")


def test_a_root_that_is_a_link_is_the_folder(tmp_path: Path, caplog) -> None:
    touch(tmp_path / "real" / "sub" / "a.png")
    (tmp_path / "root").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "root")
    images, (line,) = told(caplog, tmp_path / "root", recursive=True)
    assert images == ["sub/a"]
    assert "loop is left out" in line


def test_a_server_tells_each_change_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    once = Told()

    def lines() -> list[str]:
        caplog.clear()
        find_images(tmp_path, told=once)
        return [record.getMessage() for record in caplog.records]

    link = tmp_path / "b.png"
    link.symlink_to(tmp_path / "gone")
    touch(tmp_path / "c.bmp")
    assert len(lines()) == 2
    assert lines() == []
    touch(tmp_path / "d.bmp")
    (changed,) = lines()
    assert changed.startswith(f"2 entries of {tmp_path} are left out (c.bmp, d.bmp): its format is not read")
    link.unlink()
    assert lines() == []
    link.symlink_to(tmp_path / "gone")
    assert lines() == [f"{link} is left out: a link that leads nowhere; mend or remove it."]
    assert len(told(caplog, tmp_path)[1]) == 2  # a command tells all of them
