from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock

from tests.support.phantoms import write_png
from xssr_strategy.labels.reading import LabelledImage
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.tasks.kept_stages import kept_stages, training_digest

PLAN = SegmentationPlan("xray", 2, 1, ("blob",), (), (32, 32))


def stopped(folder: Path, training: str) -> None:
    """A training that is stopped after its first stage."""
    with suppress(KeyboardInterrupt), kept_stages(folder, training) as stages:
        assert stages is not None
        (stages / "first.pt").write_bytes(b"weights")
        raise KeyboardInterrupt


def test_the_folder_of_a_stopped_training_is_kept_until_it_has_ended(tmp_path: Path) -> None:
    stopped(tmp_path, "a")
    with kept_stages(tmp_path, "a") as folder:
        assert folder is not None
        assert (folder / "first.pt").read_bytes() == b"weights"
    assert list(tmp_path.iterdir()) == []


def test_what_another_training_kept_is_removed_unless_it_runs(tmp_path: Path) -> None:
    stopped(tmp_path, "a")
    with kept_stages(tmp_path, "b"):
        assert not (tmp_path / "stages_a").exists()
        with FileLock(tmp_path / ".stages_c.lock"):  # a server beside this one
            (tmp_path / "stages_c").mkdir()
            with kept_stages(tmp_path, "d"):
                assert (tmp_path / "stages_b").is_dir()
                assert (tmp_path / "stages_c").is_dir()
            with kept_stages(tmp_path, "c") as folder:
                assert folder is None  # the same training: it keeps nothing, and takes nothing
        assert (tmp_path / "stages_c").is_dir()


def test_whatever_decides_the_network_changes_the_digest(tmp_path: Path) -> None:
    for name in ("image", "label", "other"):
        write_png(tmp_path / f"{name}.png", np.zeros((4, 4)))
    pair = LabelledImage(str(tmp_path / "image.png"), str(tmp_path / "label.png"), (4, 4), (1.0, 1.0))
    unlabelled = {"other": tmp_path / "other.png"}
    same = training_digest({"seed": 0, "method": "supervised"}, PLAN, [pair], unlabelled)
    assert same == training_digest({"method": "supervised", "seed": 0}, PLAN, [pair], unlabelled)
    found = [
        same,
        training_digest({"seed": 1, "method": "supervised"}, PLAN, [pair], unlabelled),
        training_digest({"seed": 0, "method": "supervised"}, replace(PLAN, labels=("a",)), [pair], unlabelled),
        training_digest({"seed": 0, "method": "supervised"}, PLAN, [replace(pair, names=("b",))], unlabelled),
        training_digest({"seed": 0, "method": "supervised"}, PLAN, [pair], {}),
    ]
    write_png(tmp_path / "label.png", np.ones((9, 4)))
    found.append(training_digest({"seed": 0, "method": "supervised"}, PLAN, [pair], unlabelled))
    assert len(set(found)) == len(found)
