"""find_images agrees with MONAI Label's ids; fingerprint notices a replaced file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.image_files import shared_data, write_dicom
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import EXTENSIONS, content_digest, find_images, fingerprint


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_every_extension_in_any_case_sorted_by_id(tmp_path: Path) -> None:
    for number, extension in enumerate(EXTENSIONS):
        touch(tmp_path / f"lower{number:02}{extension}")
        touch(tmp_path / f"UPPER{number:02}{extension.upper()}")
    images = find_images(tmp_path)
    expected = [f"{case}{number:02}" for case in ("UPPER", "lower") for number in range(len(EXTENSIONS))]
    assert list(images) == expected
    assert all(path.is_file() for path in images.values())


def test_ids_keep_dots_spaces_and_umlauts(tmp_path: Path) -> None:
    for name in ("a.b.nii.gz", "Müller, Größe 2.png", "v1.0.mha", "scan.nii.png"):
        touch(tmp_path / name)
    assert set(find_images(tmp_path)) == {"a.b", "Müller, Größe 2", "v1.0", "scan.nii"}


def test_ids_are_those_of_the_local_datastore(tmp_path: Path) -> None:
    local = pytest.importorskip("monailabel.datastore.local")
    for name in ("a.b.nii.gz", "Grüße 2.png", "v1.0.mha", "plain.dcm", "x.tiff", "y.tif", "z.nii", "k.jpeg"):
        touch(tmp_path / name)
    patterns = tuple(f"*{extension}" for extension in EXTENSIONS)
    datastore = local.LocalDatastore(str(tmp_path), extensions=patterns)
    assert sorted(datastore.list_images()) == list(find_images(tmp_path))


def test_hidden_labels_and_other_files_are_passed_over(tmp_path: Path) -> None:
    for name in (".hidden.png", ".dir/a.png", "labels/final/a.png", "notes.txt", "datastore_v2.json", "sub/deep.png"):
        touch(tmp_path / name)
    touch(tmp_path / "a.png")
    assert find_images(tmp_path) == {"a": tmp_path / "a.png"}
    assert find_images(tmp_path, recursive=True) == {"a": tmp_path / "a.png", "sub/deep": tmp_path / "sub/deep.png"}


def test_a_directory_of_dicom_files_is_one_image(tmp_path: Path) -> None:
    write_dicom(tmp_path / "patient.1/IM0001.dcm")
    shutil.copy(tmp_path / "patient.1/IM0001.dcm", tmp_path / "loose.dcm")
    (tmp_path / "patient.1/IM0001.dcm").rename(tmp_path / "patient.1/IM0001")  # scanners name files without extension
    touch(tmp_path / "patient.1/.DS_Store")
    (tmp_path / "study").mkdir()
    shutil.copytree(tmp_path / "patient.1", tmp_path / "study/series")
    shutil.copy(tmp_path / "loose.dcm", tmp_path / "study/DICOMDIR")
    assert find_images(tmp_path) == {"loose": tmp_path / "loose.dcm", "patient.1": tmp_path / "patient.1"}
    assert list(find_images(tmp_path, recursive=True)) == ["loose", "patient.1", "study/series"]


def test_recursion_does_not_follow_links_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "sub/a.png")
    (tmp_path / "sub/again").symlink_to(tmp_path, target_is_directory=True)
    assert list(find_images(tmp_path, recursive=True)) == ["sub/a"]


def test_of_equal_ids_the_first_counts_and_the_log_names_the_other(tmp_path: Path, caplog) -> None:
    touch(tmp_path / "a.png")
    touch(tmp_path / "a.nii.gz")
    assert find_images(tmp_path) == {"a": tmp_path / "a.nii.gz"}
    assert "a.png is left out" in caplog.text
    assert "rename one of them" in caplog.text


def test_broken_links_and_folders_that_cannot_be_listed_are_passed_over(tmp_path: Path, monkeypatch, caplog) -> None:
    touch(tmp_path / "a.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "closed").mkdir()
    listing = Path.iterdir

    def closed(path: Path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", closed)
    assert list(find_images(tmp_path, recursive=True)) == ["a"]
    assert "closed is left out" in caplog.text


def test_empty_missing_and_file_instead_of_folder(tmp_path: Path) -> None:
    assert find_images(tmp_path) == {}
    with pytest.raises(UserError, match=r"nowhere: does not exist"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"a\.png: is a file"):
        find_images(touch(tmp_path / "a.png"))


def test_fingerprint_of_a_file(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.png")
    os.utime(path, ns=(1_000, 1_000))
    before = fingerprint(path)
    assert fingerprint(path) == before
    os.utime(path, ns=(1_000, 1_001))
    assert fingerprint(path) != before
    path.write_bytes(b"xy")
    os.utime(path, ns=(1_000, 1_000))
    assert fingerprint(path) != before
    path.unlink()
    with pytest.raises(UserError, match=r"a\.png: cannot be found"):
        fingerprint(path)


def test_fingerprint_of_a_series_and_of_detached_voxels(tmp_path: Path) -> None:
    series = touch(tmp_path / "series/1").parent
    before = fingerprint(series)
    touch(series / "2")
    assert fingerprint(series) != before
    header, voxels = touch(tmp_path / "a.mhd"), touch(tmp_path / "a.raw")
    before = fingerprint(header)
    voxels.write_bytes(b"longer")
    assert fingerprint(header) != before


def test_content_digest_knows_a_copy_and_a_change(tmp_path: Path) -> None:
    path, copy = touch(tmp_path / "a.png"), touch(tmp_path / "elsewhere" / "b.png")
    os.utime(copy, ns=(1_000, 1_000))
    assert content_digest(path) == content_digest(copy)
    copy.write_bytes(b"y")  # of the same size
    assert content_digest(path) != content_digest(copy)
    with pytest.raises(UserError, match=r"c\.png: cannot be found"):
        content_digest(tmp_path / "c.png")


def test_content_digest_of_a_series_and_of_detached_voxels(tmp_path: Path) -> None:
    series = touch(tmp_path / "series/1").parent
    header, voxels = touch(tmp_path / "a.mhd"), touch(tmp_path / "a.raw")
    before = content_digest(series), content_digest(header)
    touch(series / "2")
    voxels.write_bytes(b"y")
    after = content_digest(series), content_digest(header)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_shared_data_is_listed() -> None:
    assert len(find_images(shared_data("hippocampus/images"))) == 260
    assert list(find_images(shared_data("dicom"))) == ["mr_hcrop_1", "mr_hcrop_2", "mr_hcrop_3"]


def test_a_name_in_utf_8_under_another_locale_is_told_from_one_that_is_none(tmp_path: Path) -> None:
    touch(tmp_path / "ü.png")
    touch(tmp_path / os.fsdecode(b"\xfc.png"))
    program = (
        "import pathlib, sys; from xssr_strategy.images.listing import find_images as f; f(pathlib.Path(sys.argv[1]))"
    )
    ascii_names = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, env=ascii_names, capture_output=True, encoding="utf-8", check=True)
    utf_8, latin_1 = sorted(done.stderr.splitlines())
    assert utf_8.endswith("its name is UTF-8, but the locale of this process is not; start it with PYTHONUTF8=1.")
    assert latin_1.endswith("its name is not UTF-8; rename it.")
