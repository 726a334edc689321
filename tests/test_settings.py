"""The --conf keys: types, defaults, messages, and the table of docs/SERVER.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.settings import Settings, markdown_table, parse_settings


@pytest.mark.parametrize(
    ("budget", "pool", "expected"),
    [
        ("5%", 440, 22),
        ("5%", 452, 22),  # the paper's numbers: round() would give 23
        ("5%", 3, 1),
        ("29%", 100, 29),  # 0.29 * 100 is 28.999... in floating point
        ("0.5%", 1000, 5),
        ("100%", 7, 7),
        ("22", 440, 22),
        ("22", 10, 10),
    ],
)
def test_budget(budget: str, pool: int, expected: int) -> None:
    assert parse_settings({"budget": budget}).budget.of(pool) == expected


def test_defaults_and_values(tmp_path) -> None:
    assert parse_settings({}) == Settings()
    settings = parse_settings({"source": str(tmp_path), "labels": "liver, tumour", "alpha": "0.3", "preset": "ct"})
    assert settings.source == tmp_path
    assert settings.labels == ("liver", "tumour")
    assert (settings.alpha, settings.preset) == (0.3, "ct")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "sourse",
            "x",
            r"--conf sourse: no such key \(did you mean source\?\); the keys are source, source_labels, labels",
        ),
        ("zzz", "x", r"--conf zzz: no such key; the keys are"),
        ("source", "/no/such/folder", "--conf source /no/such/folder: must be a folder that exists"),
        ("labels", "a,a", "must be names separated by commas"),
        ("labels", "background,liver", "without 'background'"),
        ("budget", "0", "must be a number of images such as 22, or a percentage"),
        ("budget", "101%", "must be a number of images"),
        ("budget", "many", "must be a number of images"),
        ("alpha", "1.1", "must be auto, or a number from 0"),
        ("combination", "max", "must be one of product, sum"),
        (
            "encoder",
            "resnet",
            "must be one of conv_mae, conv_mae_cells, dinov2, monai:BUNDLE, poly_cl, poly_cl_mixed, poly_cl_organ",
        ),
        (
            "encoder",
            "timm:resnet10tt",
            r"timm:resnet10tt: must be timm:NAME with .* \(did you mean timm:resnet10t\?\)\.$",
        ),
        ("encoder", "torchscript:/no/such", "must be torchscript:FILE with a file that exists"),
        ("encoder_weights", "/no/such/file", "--conf encoder_weights /no/such/file: must be a file that exists"),
        ("encoder_weights", __file__, "--conf encoder_weights: encoder conv_mae is trained here; leave it out"),
        ("encoder_slices", "0", "must be a whole number from 1 to 64"),
        ("encoder_pooling", "median", "must be one of mean, max"),
        ("encoder_steps", "0", "must be a whole number from 1 to 1000000"),
        ("source", "", "must be a folder that exists"),
        ("sam_weights", "/no/such", "--conf sam_weights /no/such: must be a folder that exists"),
        ("sam_weights", str(Path(__file__).parent), r"config\.json is missing; fetch SAM 2 by xssr fetch-weights"),
        ("sam_side", "100", "must be 0 for the side of the training, or a multiple of 32 up to 2048"),
        ("sam_side", "512", "--conf sam_side: is of SAM 2; add --conf sam_weights, or leave it out"),
        ("encoder_steps", "1e3", "must be a whole number"),
        ("preset", "pet", "must be one of auto, xray, fundus, mri, ct"),
        (
            "viewer_strategy",
            "first",
            "must be one of xssr, cold_start, entropy_diversity, auto, coreset, random, review, off",
        ),
        ("seed", "-1", "must be a whole number from 0 to"),
        ("seed", "9" * 20, "must be a whole number from 0 to"),
    ],
)
def test_a_wrong_key_or_value_gets_one_sentence(key: str, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        parse_settings({key: value})
    assert "\n" not in str(error.value)


def test_options_of_the_command_line_are_named_as_they_are_typed(tmp_path) -> None:
    with pytest.raises(UserError, match=r"^--encoder-slices 99: must be a whole number"):
        parse_settings({"encoder_slices": "99"}, prefix="--")
    script = tmp_path / "net.ts"
    script.touch()
    conf = {"encoder": f"torchscript:{script}", "encoder_weights": str(script)}
    with pytest.raises(
        UserError, match=r"^--encoder-weights: encoder torchscript:.* holds its own weights; leave it out"
    ):
        parse_settings(conf, prefix="--")


def test_the_documentation_shows_the_keys_as_they_are() -> None:
    page = (Path(__file__).parents[1] / "docs" / "SERVER.md").read_text(encoding="utf-8")
    assert markdown_table() in page
