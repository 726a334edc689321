"""Every format keeps its values, axes and geometry; everything that cannot be used is one clear sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data.utils import to_affine_nd
from monai.transforms import Compose, Invertd, LoadImage, Resized
from PIL import Image

from tests.support.image_files import ramp, shared_data, write_dicom, write_itk, write_series
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preprocessing import spacing_of
from xssr_strategy.images.reading import UnreadableImage, read_image


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def write_png(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def values(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.dtype == torch.float32
    assert image.affine.shape == (4, 4)
    return image.numpy()


@pytest.mark.parametrize("name", ["a.nii", "UPPER.NII.GZ", "a.nrrd", "a.mha", "a.mhd", "Übersicht 1 ä.nrrd"])
@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6)])
def test_grey_volume_and_slice_keep_values_axes_and_spacing(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    array = ramp(shape, np.int16, step=200) - 12_000
    spacing = (0.5, 2.0, 3.0)[: len(shape)]
    if "nii" in name.lower():
        write_nifti(tmp_path / name, array, np.diag([0.5, 2.0, 3.0, 1.0]))
    else:
        write_itk(tmp_path / name, array, spacing)
    np.testing.assert_array_equal(values(tmp_path / name), array[None])
    assert spacing_of(read_image(tmp_path / name)) == pytest.approx(spacing)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "Größe 1.tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_picture_of_8_and_16_bit(tmp_path: Path, name: str, dtype: type) -> None:
    array = ramp((40, 60), dtype, step=1 if dtype is np.uint8 else 27)
    write_png(tmp_path / name, array)
    np.testing.assert_array_equal(values(tmp_path / name), array.T[None])
    assert array.max() == (255 if dtype is np.uint8 else 2399 * 27)


def test_multi_page_tiff_is_a_volume(tmp_path: Path) -> None:
    array = ramp((4, 5, 6), np.uint16, step=500)
    pages = [Image.fromarray(page) for page in array]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(values(tmp_path / "a.tif"), array.transpose(2, 1, 0)[None])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_rgb_and_rgba(tmp_path: Path, name: str) -> None:
    array = ramp((5, 7, 4))
    Image.fromarray(array[..., :3]).save(tmp_path / name)
    np.testing.assert_array_equal(values(tmp_path / name), array[..., :3].transpose(2, 1, 0))
    Image.fromarray(array, "RGBA").save(tmp_path / name)
    np.testing.assert_array_equal(values(tmp_path / name)[:3], array[..., :3].transpose(2, 1, 0))


def test_palette_grey_alpha_and_bilevel_png(tmp_path: Path) -> None:
    grey = np.array([[0, 255, 0], [255, 0, 0]], np.uint8)
    picture = Image.fromarray(grey)
    palette = Image.new("P", (3, 2))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putdata([0, 1, 0, 1, 0, 0])
    palette.save(tmp_path / "palette.png")
    picture.convert("LA").save(tmp_path / "alpha.png")
    picture.convert("1").save(tmp_path / "bits.png")
    expected = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)[(grey > 0).astype(int)]
    np.testing.assert_array_equal(values(tmp_path / "palette.png"), expected.transpose(2, 1, 0))
    np.testing.assert_array_equal(values(tmp_path / "alpha.png"), grey.T[None])
    np.testing.assert_array_equal(values(tmp_path / "bits.png"), grey.T[None])


def test_jpeg_grey_rgb_and_cmyk(tmp_path: Path) -> None:
    colour = np.zeros((16, 24, 3), np.uint8)
    colour[:, 12:] = (200, 60, 30)
    for mode, channels in (("L", 1), ("RGB", 3), ("CMYK", 3)):
        picture = Image.fromarray(colour).convert(mode)
        picture.save(tmp_path / f"{mode}.jpg", quality=95)
        expected = np.atleast_3d(np.asarray(picture.convert("L" if channels == 1 else "RGB"))).transpose(2, 1, 0)
        result = values(tmp_path / f"{mode}.jpg")
        assert result.shape == (channels, 24, 16)
        np.testing.assert_allclose(result[:, 2:10], expected[:, 2:10], atol=4)  # away from the edge: JPEG rings
        np.testing.assert_allclose(result[:, 16:], expected[:, 16:], atol=4)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_rgb_volume_channels_come_first(tmp_path: Path, name: str) -> None:
    array = ramp((3, 4, 5, 3))
    write_itk(tmp_path / name, array, rgb=True)
    np.testing.assert_array_equal(values(tmp_path / name), array.transpose(3, 0, 1, 2))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_slice_volume_is_two_dimensional(tmp_path: Path, axis: int) -> None:
    array = np.expand_dims(ramp((5, 6)), axis)
    affine = np.diag([0.5, 2.0, 3.0, 1.0])
    affine[:3, 3] = (10, 20, 30)
    image = read_image(write_nifti(tmp_path / "a.nii.gz", array, affine))
    np.testing.assert_array_equal(image.numpy(), array.squeeze(axis)[None])
    others = [other for other in range(3) if other != axis]
    assert spacing_of(image) == pytest.approx(np.diag(affine)[others])
    np.testing.assert_allclose(image.affine.numpy(), affine[:, [*others, axis, 3]])
    np.testing.assert_allclose(image.meta["original_affine"], affine)
    assert tuple(image.meta["spatial_shape"]) == array.shape


def test_two_dimensional_affine_survives_resize_and_invert(tmp_path: Path) -> None:
    array = ramp((8, 6, 1), np.int16)
    data = {"image": read_image(write_nifti(tmp_path / "a.nii", array, np.diag([0.5, 2.0, 3.0, 1.0])))}
    pipeline = Compose([Resized("image", (16, 12), mode="nearest")])
    resized = pipeline(data)
    assert spacing_of(resized["image"]) == pytest.approx((0.25, 1.0))
    inverted = Invertd("image", pipeline, orig_keys="image", nearest_interp=True)(dict(resized))
    np.testing.assert_array_equal(inverted["image"].numpy(), array[None, :, :, 0])
    torch.testing.assert_close(inverted["image"].affine, data["image"].affine)


def test_dicom_file_is_two_dimensional_with_rescale_and_spacing(tmp_path: Path) -> None:
    stored = ramp((6, 5), np.int16, step=30)
    path = write_dicom(tmp_path / "a.dcm", stored, t0028_1052="-1024", t0028_1053="2", t0008_0060="CT")
    assert spacing_of(read_image(path)) == pytest.approx((0.5, 0.25))
    np.testing.assert_array_equal(values(path), 2 * (stored // 2)[None].astype(np.float32))


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    array = ramp((6, 5), np.uint16, step=100) + 50
    normal = values(write_dicom(tmp_path / "2.dcm", array))
    np.testing.assert_array_equal(normal, array[None])
    # ITK writes MONOCHROME2 whatever it is told; the other name has the same length.
    (tmp_path / "1.dcm").write_bytes((tmp_path / "2.dcm").read_bytes().replace(b"MONOCHROME2", b"MONOCHROME1"))
    inverted = values(tmp_path / "1.dcm")
    np.testing.assert_array_equal(inverted, 65_535 - array[None].astype(np.float32))


def test_dicom_series_is_sorted_by_position(tmp_path: Path) -> None:
    volume = ramp((4, 5, 6), np.int16, step=3)
    series = write_series(tmp_path / "Patient Ö", volume, (0.5, 0.75, 2.5))
    assert list(find_images(tmp_path)) == ["Patient Ö"]
    np.testing.assert_array_equal(values(series), volume[None])
    assert spacing_of(read_image(series)) == pytest.approx((0.5, 0.75, 2.5))
    np.testing.assert_allclose(read_image(series).affine[:3, :3].numpy(), np.diag([-0.5, -0.75, 2.5]))  # LPS to RAS


def test_directory_of_two_series_is_refused(tmp_path: Path) -> None:
    series = write_series(tmp_path / "a", ramp((4, 5, 2), np.int16), (1, 1, 1))
    other = write_series(tmp_path / "b", ramp((4, 5, 2), np.int16), (1, 1, 1), series="1.2.3.5")
    for file in other.iterdir():
        file.rename(series / f"other{file.name}")
    with pytest.raises(UnreadableImage, match=r"a: holds 2 readable DICOM series; keep exactly one"):
        read_image(series)


def test_shared_ct_series_is_in_hounsfield_units() -> None:
    image = read_image(shared_data("dicom/ct_3slice_seg/ct"))
    assert image.shape == (1, 512, 512, 3)
    assert spacing_of(image) == pytest.approx((0.810547, 0.810547, 1.0))
    soft_tissue = ((image > 0) & (image < 100)).float().mean()
    assert image.min() <= -1000
    assert soft_tissue > 0.1
    reference = read_image(shared_data("dicom/ct_3slice_seg/nrrd/liver_seg.nrrd"))
    torch.testing.assert_close(image.affine, reference.affine, atol=1e-3, rtol=0)


def test_same_as_monai_load_image(tmp_path: Path) -> None:
    nifti = sorted(shared_data("hippocampus/images").glob("*.nii.gz"))[0]
    for path in (nifti, write_png(tmp_path / "a.png", ramp((4, 5, 3)))):
        image, expected = read_image(path), LoadImage(image_only=True, ensure_channel_first=True)(path)
        np.testing.assert_array_equal(image.numpy(), expected.numpy())
        torch.testing.assert_close(image.affine, to_affine_nd(3, expected.affine))


def broken_files(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    whole = write_nifti(folder / "whole.nii.gz", np.random.default_rng(0).normal(size=(20, 20, 20))).read_bytes()
    (folder / "whole.nii.gz").unlink()
    text = b"This is a text file, whatever its name says.\n" * 20
    files = {f"text{suffix}": text for suffix in (".png", ".jpg", ".nii", ".nii.gz", ".nrrd", ".mha", ".tif", ".dcm")}
    files |= {f"empty{suffix}": b"" for suffix in (".png", ".nii.gz", ".nrrd", ".dcm")}
    files |= {
        "truncated.nii.gz": whole[: len(whole) // 2],
        "truncated.nii": gzip.decompress(whole)[:400],
        "magic.nii": bytes(348) + gzip.decompress(whole)[348:],
        "pixels.mhd": b"NDims = 2\nDimSize = 4 4\nElementType = MET_UCHAR\nElementDataFile = gone.raw\n",
        "short.nrrd": b"NRRD0004\ntype: short\ndimension: 2\nsizes: 9 9\nencoding: raw\nendian: little\n\nabc",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(folder / "whole.png")
    (folder / "truncated.png").write_bytes((folder / "whole.png").read_bytes()[:1000])
    (folder / "whole.png").unlink()
    (folder / "text.series").mkdir()
    (folder / "text.series" / "slice").write_bytes(b"\0" * 128 + b"DICM" + text)
    return {path.name: path for path in folder.iterdir()}


def test_broken_files_give_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = broken_files(tmp_path / "kaputte Bilder ß")
    assert len(files) == 19
    for path in [*files.values(), tmp_path / "missing.png"]:
        with pytest.raises(UnreadableImage) as caught:
            pytest.fail(f"{path.name} was read as {read_image(path).shape}")
        message = str(caught.value)
        assert isinstance(caught.value, UserError)
        assert message.startswith(f"{path}: "), message
        assert ";" in message, message
        assert "\n" not in message
    output = capfd.readouterr()
    assert "Traceback" not in output.out + output.err


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full((4, 4, 4), np.nan, np.float32), "NaN"),
        (np.array([[[1, np.inf], [0, 1]], [[1, 1], [0, 1]]], np.float32), "NaN or infinite"),
        (np.zeros((4, 4, 4, 3), np.float32), "four or more dimensions"),
        (np.zeros((4, 4, 4, 1, 3), np.float32), "four or more dimensions"),
    ],
)
def test_unusable_nifti(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", array)
    with pytest.raises(UnreadableImage, match=rf"a\.nii\.gz: .*{reason}.*; "):
        read_image(path)


def test_unusable_header_and_channels(tmp_path: Path) -> None:
    content = bytearray(write_nifti(tmp_path / "flat.nii", ramp((4, 4, 4))).read_bytes())
    content[296:312] = bytes(16)  # srow_y, the second row of the sform
    (tmp_path / "flat.nii").write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"flat\.nii: has an unusable affine"):
        read_image(tmp_path / "flat.nii")
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 4 4\nkinds: vector domain domain\nencoding: raw\n\n"
    (tmp_path / "two.nrrd").write_bytes(header.encode() + bytes(32))
    with pytest.raises(UnreadableImage, match=r"two\.nrrd: has 2 channels"):
        read_image(tmp_path / "two.nrrd")
    write_itk(tmp_path / "time.mha", ramp((3, 3, 3, 2)))
    with pytest.raises(UnreadableImage, match=r"time\.mha: has four or more dimensions"):
        read_image(tmp_path / "time.mha")


def test_one_volume_in_four_dimensions_is_a_volume(tmp_path: Path) -> None:
    array = ramp((4, 5, 6, 1))
    np.testing.assert_array_equal(values(write_nifti(tmp_path / "a.nii", array)), array[None, ..., 0])
