from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.labels.reading import LabelledImage
from xssr_strategy.segmentation.plan import around_encoder, check_plan, of_slices, parse_plan, plan_from, plan_text

MRI = PRESETS["mri"]


def pair(shape: tuple[int, ...], spacing: tuple[float, ...]) -> LabelledImage:
    return LabelledImage("image", "label", shape, spacing)


def test_3d_plan_takes_the_median_spacing_and_the_median_shape_at_that_spacing() -> None:
    pairs = [pair((40, 40, 20), (1, 1, 2)), pair((33, 50, 18), (1, 1, 2)), pair((80, 80, 80), (0.5, 0.5, 0.5))]
    plan = plan_from(pairs, MRI, ("a", "b"))
    assert plan.spacing == (1, 1, 2)
    assert plan.roi == (40, 40, 24)  # the medians; 20 is rounded up to what the network can halve
    assert plan.grid_of((80, 80, 80), (0.5, 0.5, 0.5)) == (40, 40, 20)


def test_3d_window_is_capped_by_the_preset() -> None:
    assert plan_from([pair((300, 200, 40), (1, 1, 1))], MRI, ("a",)).roi == (96, 96, 40)


def test_a_least_spacing_holds_for_each_axis_that_is_finer() -> None:
    plan = plan_from([pair((120, 121, 30), (2, 2, 5))], MRI, ("a",), min_spacing=4)
    assert plan.spacing == (4, 4, 5)
    assert plan.roi == (64, 64, 32)  # of 60, 60 and 30 voxels
    assert plan.grid_of((120, 121, 30), (2, 2, 5)) == (60, 60, 30)


def test_images_of_a_few_voxels_are_padded_to_what_the_network_can_halve_and_normalise() -> None:
    assert plan_from([pair((8, 7, 3), (1, 1, 1))], MRI, ("a",)).roi == (16, 16, 16)
    assert plan_from([pair((9, 7, 3), (1, 1, 1))], MRI, ("a",)).roi == (16, 8, 8)
    assert of_slices(plan_from([pair((8, 7, 3), (1, 1, 1))], MRI, ("a",))).roi == (32, 32)
    assert around_encoder(plan_from([pair((8, 7, 3), (1, 1, 1))], MRI, ("a",)), (16, 32, 64, 128)).roi == (32, 32, 32)


def test_noise_in_the_spacing_costs_no_resampling() -> None:
    plan = plan_from([pair((40, 40, 40), (1.0000003, 1, 1))], MRI, ("a",))
    assert plan.spacing == (1, 1, 1)
    assert plan.grid_of((333, 40, 40), (1.0000003, 1, 1)) == (333, 40, 40)


def test_2d_plan_is_the_presets_square_whatever_the_image() -> None:
    plan = plan_from([pair((3000, 2500), (0.14, 0.14))], PRESETS["xray"], ("lung",))
    side = PRESETS["xray"].segmentation_size
    assert plan.roi == plan.grid_of((3000, 2500), (0.14, 0.14)) == (side, side)


def test_a_plan_survives_its_text() -> None:
    plan = plan_from([pair((40, 41, 42), (0.7, 0.7, 3.1))], MRI, ("anterior", "posterior"))
    assert parse_plan(plan_text(plan), Path("model.pt")) == plan


@pytest.mark.parametrize("text", ["", "{}", '{"preset": "mri"}', "[]"])
def test_a_damaged_plan_is_named_in_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"model\.pt: .* train again"):
        parse_plan(text, Path("model.pt"))


def test_settings_that_changed_since_the_training_are_refused() -> None:
    plan = plan_from([pair((40, 40, 40), (1, 1, 1))], MRI, ("a", "b"))
    check_plan(plan, MRI, ("a", "b"))
    with pytest.raises(UserError, match="trained with --conf labels a,b but the server runs with --conf labels b,a"):
        check_plan(plan, MRI, ("b", "a"))
    with pytest.raises(UserError, match="--conf preset mri"):
        check_plan(plan, replace(MRI, name="ct"), ("a", "b"))
