"""What an earlier version of the reading made of an image is told from what the present one makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.odd_volumes import nifti
from tests.support.read_files import NOTED, digest, write_all
from xssr_strategy.images.versions import READING, kept_as, last_change, parse_kept


@pytest.mark.slow
def test_a_change_of_the_reading_raises_its_version_and_names_the_images(tmp_path: Path) -> None:
    """The digests of each version were noted by its own code (``python -m tests.support.read_files VERSION``)."""
    noted = json.loads(NOTED.read_text(encoding="utf-8"))
    files = write_all(tmp_path / "files")
    now = {path.name: digest(path) for path in files}
    changed = [name for name, found in now.items() if found != noted[str(READING)][name]]
    assert not changed, f"raise READING in images/versions.py, and name in _CHANGES such images as {changed}"
    for path in files:
        for version in range(1, READING):
            if noted[str(version)][path.name] != now[path.name]:
                assert last_change(path) > version, path.name


def test_most_images_have_not_changed(tmp_path: Path) -> None:
    """Plain ones of every format keep their vectors; so does a series that lies oblique."""
    same = ["grey", "grey16", "bits", "palette", "rgb", "rgba", "alpha"]
    expected = {f"{name}.png": 1 for name in same} | {f"deep{kind}.png": 2 for kind in (2, 4, 6)}
    expected |= {f"strips-{kind}.tif": 1 for kind in ("u1", "i2", "u2", "i4", "f4")}
    expected |= {f"strips-{kind}.tif": 2 for kind in ("f2", "f8", "bool")}
    expected |= {"packed.tif": 1, "pages.tif": 1, "rgb8.tif": 1, "rgb16.tif": 1, "turn4.tif": 1}
    expected |= {"tiles-u1.tif": 2, "turn2.tif": 2, "white.tif": 2, "planes.tif": 2}
    expected |= {
        "plain.nii": 1,
        "turned-nii.nii.gz": 1,
        "turned-nrrd.nrrd": 1,
        "turned-mha.mha": 1,
        "turned-mhd.mhd": 1,
    }
    expected |= {"plain.dcm": 1, "inverted.dcm": 1, "above.dcm": 2, "signed.dcm": 2, "frames.dcm": 2, "mosaic.dcm": 2}
    expected |= {"segmentation.dcm": 2, "segmentation-alone": 2, "scrambled.dcm": 2}
    expected |= {"stack": 1, "oblique": 1, "shifted": 2, "gantry": 2, "mosaics": 2, "frames-alone": 2}
    write_all(tmp_path / "files")
    assert {name: last_change(tmp_path / "files" / name) for name in expected} == expected


@pytest.mark.parametrize(
    "fields",
    [{"sform_code": 0, "qform_code": 0}, {"xyzt_units": 1}, {"xyzt_units": 3}, {"pixdim": [1, 9, 9, 9, 0, 0, 0, 0]}],
)
def test_a_nifti_file_that_lies_elsewhere_now(tmp_path: Path, fields: dict[str, object]) -> None:
    (tmp_path / "a.nii").write_bytes(nifti(**fields))
    assert last_change(tmp_path / "a.nii") == 2


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.nii", "a.nii.gz"])
def test_a_damaged_header_is_read_again(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"damaged")
    assert last_change(tmp_path / name) == READING


def test_what_is_kept_holds_the_version() -> None:
    assert parse_kept(kept_as("1-2-3")) == ("1-2-3", READING)
    assert parse_kept("1-2-3") == ("1-2-3", 1)
    assert parse_kept("") == ("", 1)
