"""``xssr propagate``: from a drawn slice to the mask of a volume, on the voxels of its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from tests.support.commands import run
from tests.support.dicom_series import write_volume
from tests.support.phantoms import AFFINES, oblique, write_itk, write_nifti, write_png
from tests.support.sam2 import tiny_network, write_weights

SHAPE, MIDDLE = (36, 32, 15), 7


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


def bent_tube() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A bright tube across the slices that moves to one side, and its mask; it ends two slices before either end."""
    grid = np.stack(np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij")).astype(float)
    distance = np.hypot(grid[0] - 12 - 0.8 * grid[2], grid[1] - 16)
    inside = (distance < 7) & (grid[2] >= 2) & (grid[2] < SHAPE[2] - 2)
    noise = np.random.default_rng(0).normal(0, 4, SHAPE)
    return (60 + 100 * inside + noise).astype(np.float32), inside.astype(np.uint8)


def one_slice(mask: NDArray[np.uint8], place: int = MIDDLE) -> NDArray[np.uint8]:
    drawn = np.zeros_like(mask)
    drawn[..., place] = mask[..., place]
    return drawn


def dice(one: NDArray, other: NDArray) -> float:
    return float(2 * ((one > 0) & (other > 0)).sum() / ((one > 0).sum() + (other > 0).sum()))


@pytest.mark.parametrize("affine", [*AFFINES.values(), oblique((1.0, 1.0, 2.5))], ids=[*AFFINES, "oblique"])
def test_the_mask_lies_on_the_voxels_of_the_image(
    affine: NDArray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, truth = bent_tube()
    volume = write_nifti(tmp_path / "volume.nii.gz", image, affine)
    label = write_nifti(tmp_path / "slice.nii.gz", one_slice(truth), affine)
    status, printed = run(capsys, "propagate", "--image", volume, "--label", label, "--out", tmp_path / "mask.nii.gz")
    assert status == 0, printed
    assert "slice drawn, the label found on 10 more, by registration in" in printed
    found = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(found.affine, affine)
    mask = np.asarray(found.dataobj)
    assert (mask[..., MIDDLE] == truth[..., MIDDLE]).all()
    assert dice(mask, truth) > 0.9 > 0.8 > dice(np.repeat(truth[..., [MIDDLE]], SHAPE[2], axis=2), truth)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii"])
def test_other_formats_hold_the_same(ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, truth = bent_tube()
    affine = AFFINES["anisotropic"]
    volume = write_itk(tmp_path / "volume.nrrd", image, affine)
    label = write_itk(tmp_path / "slice.mha", one_slice(truth), affine)
    out = tmp_path / f"mask{ending}"
    assert run(capsys, "propagate", "--image", volume, "--label", label, "--out", out)[0] == 0
    found, original = sitk.ReadImage(str(out)), sitk.ReadImage(str(volume))
    for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(found, what)() == pytest.approx(getattr(original, what)(), abs=1e-4), what
    assert dice(sitk.GetArrayFromImage(found).T, truth) > 0.9


def test_a_dicom_series_and_its_slice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, truth = bent_tube()
    affine = AFFINES["anisotropic"]
    files = [write_nifti(tmp_path / f"{name}.nii.gz", part, affine) for name, part in (("i", image), ("t", truth))]
    written = write_volume(tmp_path / "series", "patient", *files)
    label = write_itk(tmp_path / "slice.nrrd", one_slice(truth), affine)
    out = tmp_path / "mask.nii.gz"
    status, printed = run(capsys, "propagate", "--image", tmp_path / "series", "--label", label, "--out", out)
    assert status == 0, printed
    found = sitk.Resample(sitk.ReadImage(str(out)), written.label, sitk.Transform(), sitk.sitkNearestNeighbor)
    assert dice(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(written.label)) > 0.9


@pytest.mark.parametrize("number", [2, 255, 300])
def test_a_single_number_stays_what_it_is(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, truth = bent_tube()
    volume = write_nifti(tmp_path / "volume.nii.gz", image, np.eye(4))
    drawn = one_slice(truth).astype(np.uint16) * number
    label = write_nifti(tmp_path / "slice.nii.gz", drawn, np.eye(4))
    out = tmp_path / "mask.nii.gz"
    assert run(capsys, "propagate", "--image", volume, "--label", label, "--out", out)[0] == 0
    mask = np.asarray(nib.load(out).dataobj)
    assert np.unique(mask).tolist() == [0, number]
    np.testing.assert_array_equal(mask[..., MIDDLE], drawn[..., MIDDLE])
    assert dice(mask, truth) > 0.9


def test_several_labels_keep_their_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, truth = bent_tube()
    left = np.arange(SHAPE[1])[None, :, None] < 16
    halves = (truth * np.where(left, 2, 3)).astype(np.uint8)
    volume = write_nifti(tmp_path / "volume.nii.gz", image, np.eye(4))
    label = write_nifti(tmp_path / "slice.nii.gz", one_slice(halves), np.eye(4))
    command = ("propagate", "--image", volume, "--label", label, "--out", tmp_path / "mask.nii.gz")
    status, printed = run(capsys, *command)
    assert status == 2
    assert "it holds 2 numbers (2, 3) and all of them count as label; name them with --labels" in printed
    assert run(capsys, *command, "--labels", "liver,left,right")[0] == 0
    mask = np.asarray(nib.load(tmp_path / "mask.nii.gz").dataobj)
    assert np.unique(mask).tolist() == [0, 2, 3]
    for number in (2, 3):
        assert dice(mask == number, halves == number) > 0.85


def test_segments_of_a_seg_nrrd_have_their_names_and_ignore_and_scribbles_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, truth = bent_tube()
    numbers = one_slice(truth) * 5
    numbers[:4, :4, 2] = 2  # what the brush painted
    numbers[30:, 28:] = 3  # nobody has looked there
    volume = write_itk(tmp_path / "volume.nrrd", image, np.eye(4))
    label = tmp_path / "slice.seg.nrrd"
    write_itk(tmp_path / "slice.nrrd", numbers, np.eye(4))
    stored = sitk.ReadImage(str(tmp_path / "slice.nrrd"))
    for place, (name, number) in enumerate((("foreground_scribbles", 2), ("ignore", 3), ("tumour", 5))):
        stored.SetMetaData(f"Segment{place}_Name", name)
        stored.SetMetaData(f"Segment{place}_LabelValue", str(number))
    sitk.WriteImage(stored, str(label))
    out = tmp_path / "mask.nrrd"
    status, printed = run(capsys, "propagate", "--image", volume, "--label", label, "--out", out)
    assert status == 0, printed
    assert "1 is tumour." in printed
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(out))).T
    assert (found[..., MIDDLE] == truth[..., MIDDLE]).all()
    assert dice(found, truth) > 0.9


def test_the_axis_may_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, truth = bent_tube()
    affine = AFFINES["permuted"]
    volume = write_nifti(tmp_path / "volume.nii.gz", image, affine)
    label = write_nifti(tmp_path / "slice.nii.gz", one_slice(truth), affine)
    command = ("propagate", "--image", volume, "--label", label, "--out", tmp_path / "mask.nii.gz")
    _, printed = run(capsys, *command)
    seen = "sagittal" if nib.aff2axcodes(affine)[2] in "LR" else "coronal"
    assert f"1 {seen} slice drawn" in printed
    _, printed = run(capsys, *command, "--axis", "transverse")
    assert "transverse slices drawn" in printed


def test_two_drawings_that_do_not_meet_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, truth = bent_tube()
    drawn = one_slice(truth, 3)
    drawn[:6, :6, 10] = 1
    volume = write_nifti(tmp_path / "volume.nii.gz", image, np.eye(4))
    label = write_nifti(tmp_path / "slices.nii.gz", drawn, np.eye(4))
    status, printed = run(capsys, "propagate", "--image", volume, "--label", label, "--out", tmp_path / "mask.nii.gz")
    assert status == 0
    assert "the drawings of label on slices 3 and 10 do not meet: look between them" in printed


def elsewhere(folder: Path) -> None:
    write_nifti(folder / "slice.nii.gz", one_slice(bent_tube()[1]), AFFINES["shifted"])


def of_another_shape(folder: Path) -> None:
    write_nifti(folder / "slice.nii.gz", one_slice(bent_tube()[1])[:-1], np.eye(4))


def empty(folder: Path) -> None:
    write_nifti(folder / "slice.nii.gz", np.zeros(SHAPE, np.uint8), np.eye(4))


def whole(folder: Path) -> None:
    write_nifti(folder / "slice.nii.gz", np.ones(SHAPE, np.uint8), np.eye(4))


def damaged(folder: Path) -> None:
    (folder / "slice.nii.gz").write_bytes(b"no label")


def missing(folder: Path) -> None:
    (folder / "slice.nii.gz").unlink()


def picture(folder: Path) -> None:
    (folder / "volume.nii.gz").unlink()
    write_nifti(folder / "volume.nii.gz", bent_tube()[0][..., :1], np.eye(4))


@pytest.mark.parametrize(
    ("spoil", "more", "sentence"),
    [
        (elsewhere, (), "lies elsewhere in space than its image"),
        (of_another_shape, (), "the label is 35 x 32 x 15 but its image is 36 x 32 x 15"),
        (empty, (), "nothing is drawn: draw the label on one slice at least."),
        (whole, (), "every slice is drawn already: there is nothing to propagate to."),
        (damaged, (), "slice.nii.gz: is damaged or of another format"),
        (missing, (), "slice.nii.gz: does not exist."),
        (picture, (), "volume.nii.gz: is a single slice; propagation needs a volume."),
        (None, ("--labels", "liver,liver"), "--labels liver,liver: must be different names"),
        (None, ("--out", "mask.png"), "mask.png: masks of volumes are written as .nii.gz"),
        (None, ("--out", "slice.nii.gz"), "is the file of --label, too"),
    ],
)
def test_what_cannot_be_propagated_has_a_sentence_and_writes_nothing(
    spoil: Callable[[Path], None] | None,
    more: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    image, truth = bent_tube()
    write_nifti(tmp_path / "volume.nii.gz", image, np.eye(4))
    write_nifti(tmp_path / "slice.nii.gz", one_slice(truth), np.eye(4))
    if spoil is not None:
        spoil(tmp_path)
    before = sorted(tmp_path.iterdir())
    status, printed = run(
        capsys, "propagate", "--image", "volume.nii.gz", "--label", "slice.nii.gz", "--out", "mask.nii.gz", *more
    )
    assert status == 2
    assert sentence in printed
    assert sorted(tmp_path.iterdir()) == before


def test_a_volume_in_colour_is_followed_by_its_grey(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, truth = bent_tube()
    grey = np.clip(image, 0, 255).astype(np.uint8)
    colours = sitk.GetImageFromArray(np.stack([grey] * 3, axis=-1).transpose(2, 1, 0, 3), isVector=True)
    sitk.WriteImage(colours, str(tmp_path / "colour.mha"))
    drawn = sitk.GetImageFromArray(one_slice(truth).T)
    sitk.WriteImage(drawn, str(tmp_path / "slice.mha"))
    out = tmp_path / "mask.mha"
    status, printed = run(
        capsys, "propagate", "--image", tmp_path / "colour.mha", "--label", tmp_path / "slice.mha", "--out", out
    )
    assert status == 0, printed
    assert dice(sitk.GetArrayFromImage(sitk.ReadImage(str(out))).T, truth) > 0.9


@pytest.mark.parametrize("values", [np.full((20, 20), 90), np.full((3, 20, 20), 90)], ids=["grey", "colour"])
def test_a_picture_is_no_volume(tmp_path: Path, capsys: pytest.CaptureFixture[str], values: NDArray) -> None:
    image = write_png(tmp_path / "x.png", values)
    label = write_png(tmp_path / "y.png", np.eye(20))
    status, printed = run(capsys, "propagate", "--image", image, "--label", label, "--out", tmp_path / "mask.nii.gz")
    assert status == 2
    assert "x.png: is a single slice; propagation needs a volume." in printed


def test_sam_2_follows_the_slices_where_its_weights_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn weights find nothing of use; the drawn slice stays, and it is said before how long it takes."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    image, truth = bent_tube()
    files = {
        "--image": write_nifti(tmp_path / "volume.nii.gz", image, np.eye(4)),
        "--label": write_nifti(tmp_path / "slice.nii.gz", one_slice(truth), np.eye(4)),
        "--out": tmp_path / "mask.nii.gz",
        "--sam-weights": write_weights(tiny_network(), tmp_path / "weights"),
    }
    command = ["propagate", *(part for pair in files.items() for part in pair)]
    status, printed = run(capsys, *command)
    assert status == 0, printed
    assert "SAM 2 takes 10 to 30 s a slice without a GPU" in printed
    assert "by sam2 in" in printed
    mask = np.asarray(nib.load(tmp_path / "mask.nii.gz").dataobj)
    assert (mask[..., MIDDLE] == truth[..., MIDDLE]).all()

    status, printed = run(capsys, *command, "--sam-side", 100)
    assert (status, "--sam-side 100: must be 0 for the side of the training, or" in printed) == (
        2,
        True,
    )
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"half of it")
    status, printed = run(capsys, *command)
    assert (status, "is cut or damaged" in printed) == (2, True)
