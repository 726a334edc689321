from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from xssr_strategy.demo.phantoms import SCANNER_A, SCANNER_B, Kind, Scanner, make_phantom, write_phantoms
from xssr_strategy.errors import UserError

SEEDS = range(4)


@pytest.mark.parametrize("scanner", [SCANNER_A, SCANNER_B])
@pytest.mark.parametrize("kind", ["common", "minority"])
def test_the_same_seed_gives_the_same_phantom_whatever_came_before(scanner: Scanner, kind: Kind) -> None:
    first = make_phantom(7, scanner, kind)
    make_phantom(8, scanner, kind)
    np.random.default_rng(0).normal(size=10)
    again, other = make_phantom(7, scanner, kind), make_phantom(9, scanner, kind)

    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    assert (first.label != other.label).any()


@pytest.mark.parametrize("scanner", [SCANNER_A, SCANNER_B])
def test_types_spacing_and_place(scanner: Scanner) -> None:
    phantom = make_phantom(0, scanner, "common")

    assert (phantom.image.dtype, phantom.label.dtype) == (np.int16, np.uint8)
    assert phantom.image.shape == phantom.label.shape
    assert set(np.unique(phantom.label)) == {0, 1}
    np.testing.assert_allclose(nib.affines.voxel_sizes(phantom.affine), scanner.spacing)
    middle = (np.array(phantom.image.shape) - 1) / 2
    np.testing.assert_allclose(nib.affines.apply_affine(phantom.affine, middle), 0.0, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_fixes_the_anatomy_across_scanners(seed: int) -> None:
    litres = [
        make_phantom(seed, scanner, "common").label.sum() * np.prod(scanner.spacing) / 1e6
        for scanner in (SCANNER_A, SCANNER_B)
    ]
    assert litres[0] == pytest.approx(litres[1], rel=0.03)
    assert 0.2 < litres[0] < 1.5


@pytest.mark.parametrize("kind", ["common", "minority"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_organ_lies_inside_the_body_on_the_right(seed: int, kind: Kind) -> None:
    phantom = make_phantom(seed, SCANNER_A, kind)
    body = phantom.image > 6 * SCANNER_A.noise
    organ = np.argwhere(phantom.label)

    assert not phantom.label[[0, -1]].any()
    assert not phantom.label[:, [0, -1]].any()
    for x, y, z in organ:
        assert body[:x, y, z].any()
        assert body[x + 1 :, y, z].any()
    assert nib.affines.apply_affine(phantom.affine, organ).mean(axis=0)[0] > 15


@pytest.mark.parametrize("scanner", [SCANNER_A, SCANNER_B])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_minority_has_a_large_dark_lesion_in_the_organ(seed: int, scanner: Scanner) -> None:
    dark = (scanner.contrast["lesion"] + scanner.contrast["liver"]) / 2
    share = {}
    for kind in ("common", "minority"):
        phantom = make_phantom(seed, scanner, kind)
        share[kind] = (phantom.image[phantom.label == 1] < dark).mean()
    assert share["common"] < 0.1
    assert share["minority"] > 0.2


def test_the_scanners_differ_in_contrast_and_noise() -> None:
    background, brighter = {}, {}
    for scanner in (SCANNER_A, SCANNER_B):
        phantom = make_phantom(3, scanner, "common")
        background[scanner.name] = phantom.image[:2, :2].std()
        liver = np.median(phantom.image[phantom.label == 1])
        body = phantom.image[(phantom.image > 150) & (phantom.label == 0)]
        brighter[scanner.name] = (body > liver).mean()
    assert background["B"] > 1.3 * background["A"]
    # Fat outshines the liver in A; it is suppressed in B.
    assert brighter["A"] > 2 * brighter["B"]


def test_the_background_noise_is_rician() -> None:
    image = make_phantom(3, SCANNER_B, "common").image[:2, :2]
    # Without signal a Rician variable is a Rayleigh variable: mean = sigma * sqrt(pi / 2).
    assert image.mean() == pytest.approx(SCANNER_B.noise * np.sqrt(np.pi / 2), rel=0.1)


def test_writing_hides_the_kind_and_repeats_itself(tmp_path: Path) -> None:
    kinds = write_phantoms(tmp_path / "images", tmp_path / "labels", 10, SCANNER_B, 0.3, seed=5)
    again = write_phantoms(tmp_path / "again", None, 10, SCANNER_B, 0.3, seed=5)

    names = [f"case_{index:03}" for index in range(10)]
    assert list(kinds) == names
    assert kinds == again
    assert list(kinds.values()).count("minority") == 3
    for folder in ("images", "labels", "again"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == [f"{name}.nii.gz" for name in names]
    for name, kind in kinds.items():
        image = nib.load(tmp_path / "images" / f"{name}.nii.gz")
        label = nib.load(tmp_path / "labels" / f"{name}.nii.gz")
        assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
        np.testing.assert_array_equal(image.affine, label.affine)
        repeated = nib.load(tmp_path / "again" / f"{name}.nii.gz")
        np.testing.assert_array_equal(image.dataobj, repeated.dataobj)
        assert kind.encode() not in image.header.binaryblock


def test_the_seed_spreads_the_minority(tmp_path: Path) -> None:
    places = set()
    for seed in range(3):
        kinds = write_phantoms(tmp_path / str(seed), None, 6, SCANNER_B, 0.34, seed)
        places.add(tuple(name for name, kind in kinds.items() if kind == "minority"))
    assert len(places) > 1


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_an_impossible_fraction_is_refused(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(UserError, match="minority_fraction"):
        write_phantoms(tmp_path, None, 4, SCANNER_A, fraction, seed=0)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match="'rare'"):
        make_phantom(0, SCANNER_A, "rare")  # type: ignore[arg-type]
