"""``xssr review``: masks in the order in which people are to look at them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.commands import rows, run
from tests.support.judged import PLAN, discs, publish_judged
from tests.support.phantoms import phantom_pairs
from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.pool.leases import Leases
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.publication import model_id
from xssr_strategy.segmentation.score_stores import QualityStore
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Nine discs: one labelled, one skipped, one that cannot be read."""
    discs(tmp_path / "made", 9)
    folder = tmp_path / "studies"
    shutil.copytree(tmp_path / "made" / "images", folder)
    (folder / "labels" / "final").mkdir(parents=True)
    shutil.copy(tmp_path / "made" / "labels" / "disc00.png", folder / "labels" / "final")
    workspace = Workspace(folder / ".xssr")
    publish_judged(workspace.segmentation, 1)
    Leases(workspace.leases).skip("disc01", "ann", "motion")
    (folder / "disc02.png").write_bytes(b"no image")
    return folder


def test_a_review_lists_every_waiting_mask_the_worst_first(
    studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "queue.csv"
    status, printed = run(capsys, "review", "--studies", studies, "--out", out, "--shown", "3")
    assert status == 0
    assert "6 masks, 1 images that cannot be read." in printed
    found = rows(out)
    assert sorted(row["image"] for row in found) == [f"disc{number:02}" for number in range(3, 9)]
    qualities = [float(row["quality"]) for row in found]
    assert qualities == sorted(qualities)
    assert len(set(qualities)) > 3  # or any order would do
    assert all(re.fullmatch(r"foreground=\d\.\d{4}", row["qualities"]) for row in found)

    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert page.count("<img src=") == 3
    assert "3 of 6 masks are shown" in page
    assert "http" not in page.replace("http-equiv", "")  # it needs no network

    tasks = json.loads(out.with_suffix(".mitk.json").read_text(encoding="utf-8"))
    assert {task["Result"] for task in tasks["Tasks"]} == {
        str(tmp_path / "queue.mitk" / f"{row['image']}.nrrd") for row in found[:3]
    }
    assert (tmp_path / "queue.mitk").is_dir()  # where MITK saves
    assert tasks["FileFormat"] == "MITK Segmentation Task List"
    assert [task["Name"] for task in tasks["Tasks"]] == [row["image"] for row in found[:3]]
    for task, row in zip(tasks["Tasks"], found[:3], strict=True):
        assert task["Segmentation"] == str(Path(row["mask"]).resolve())
        mask, image = Image.open(row["mask"]), Image.open(row["path"])
        assert mask.size == image.size
        network = SegmentationInfer(Workspace(studies / ".xssr").segmentation, PRESETS["xray"], ("foreground",))
        served, _ = network({"image": row["path"], "device": "cpu"})
        np.testing.assert_array_equal(np.asarray(mask), np.asarray(Image.open(served)))
        assert np.asarray(mask).any()
        Path(served).unlink()


def test_a_second_review_takes_what_the_first_has_found(
    studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "review", "--studies", studies, "--out", tmp_path / "first.csv")
    asked: list[int] = []
    found = "xssr_strategy.segmentation.workers.image_qualities"
    monkeypatch.setattr(found, lambda images, **more: asked.append(len(images)) or iter(()))
    run(capsys, "review", "--studies", studies, "--out", tmp_path / "second.csv")
    assert asked == [0]
    first, second = rows(tmp_path / "first.csv"), rows(tmp_path / "second.csv")
    assert [(row["image"], row["quality"]) for row in first] == [(row["image"], row["quality"]) for row in second]


@pytest.mark.slow
def test_two_workers_make_the_review_of_one(
    studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xssr_strategy.segmentation.workers._FEW", 0)
    out = tmp_path / "queue.csv"
    found = []
    for workers in ("1", "2"):
        Workspace(studies / ".xssr").qualities.unlink(missing_ok=True)
        status, printed = run(capsys, "review", "--studies", studies, "--out", out, "--workers", workers)
        assert status == 0
        assert "6 masks, 1 images that cannot be read." in printed
        found.append([(row["image"], float(row["quality"])) for row in rows(out)])
    assert [image for image, _ in found[0]] == [image for image, _ in found[1]]
    assert [quality for _, quality in found[1]] == pytest.approx([quality for _, quality in found[0]], abs=2e-4)


def test_a_network_that_is_published_during_a_review_is_told_and_nothing_is_kept_as_its_own(
    studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(studies / ".xssr")
    before = model_id(workspace.segmentation)

    def publishing(images: Mapping[str, Path], **more: object) -> Iterator[tuple[str, Mapping[str, float]]]:
        publish_judged(workspace.segmentation, 2)
        yield from ((image, {"foreground": 0.5}) for image in images)

    monkeypatch.setattr("xssr_strategy.segmentation.workers.image_qualities", publishing)
    status, printed = run(capsys, "review", "--studies", studies, "--out", tmp_path / "queue.csv")
    assert status == 2
    assert "another network was published meanwhile; run again" in printed
    assert model_id(workspace.segmentation) != before
    assert QualityStore(workspace.qualities).asked() is None


def test_an_image_that_goes_between_judging_and_drawing_is_set_aside(
    studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "review", "--studies", studies, "--out", tmp_path / "first.csv")
    (studies / "disc04.png").unlink()
    state = (studies / "disc05.png").stat()
    (studies / "disc05.png").write_bytes(b"x" * state.st_size)
    os.utime(studies / "disc05.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    status, printed = run(capsys, "review", "--studies", studies, "--out", tmp_path / "second.csv")
    assert status == 0
    assert "set aside: " in printed
    assert "disc05.png" in printed
    expected = {row["image"] for row in rows(tmp_path / "first.csv")} - {"disc04", "disc05"}
    assert {row["image"] for row in rows(tmp_path / "second.csv")} == expected


@pytest.mark.parametrize(
    ("change", "more", "sentence"),
    [
        (lambda workspace: workspace.segmentation.unlink(), (), "no network is trained on these studies yet"),
        (
            lambda workspace: publish_judged(workspace.segmentation, 1, judged=False),
            (),
            "nothing to judge masks by",
        ),
        (
            lambda workspace: workspace.segmentation.write_bytes(b"no model"),
            (),
            "segmentation model cannot be read",
        ),
        (lambda workspace: None, ("--shown", "0"), "--shown 0: must be 1 or more."),
        (lambda workspace: None, ("--out", "{studies}/queue.csv"), "its masks would lie in --studies; name a file"),
        (lambda workspace: None, ("--out", "no/such/folder/queue.csv"), "--out no/such/folder/queue.csv"),
    ],
)
def test_what_cannot_be_reviewed_is_told_in_a_sentence(  # type: ignore[no-untyped-def]
    studies: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str], change, more, sentence: str
) -> None:
    change(Workspace(studies / ".xssr"))
    words = [word.format(studies=studies) for word in more]
    monkeypatch.chdir(tmp_path)  # where review.csv would be
    before = {path.name for path in tmp_path.iterdir()}
    status, printed = run(capsys, "review", "--studies", studies, *words)
    assert status == 2
    assert sentence in printed
    assert {path.name for path in tmp_path.iterdir()} == before


def test_the_masks_of_volumes_lie_on_the_voxels_of_their_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = phantom_pairs(tmp_path / "made", 2, 3, 1)
    studies = tmp_path / "studies"
    studies.mkdir()
    for pair in pairs:
        shutil.copy(pair["image"], studies)
    usable, _ = usable_pairs(pairs, PRESETS["mri"], ("blob",))
    publish_judged(Workspace(studies / ".xssr").segmentation, 1, plan=plan_from(usable, PRESETS["mri"], ("blob",)))
    status, _ = run(capsys, "review", "--studies", studies, "--out", tmp_path / "queue.csv")
    assert status == 0
    found = rows(tmp_path / "queue.csv")
    assert len(found) == 2
    network = SegmentationInfer(Workspace(studies / ".xssr").segmentation, PRESETS["mri"], ("blob",))
    for row in found:
        served, _ = network({"image": row["path"], "device": "cpu"})
        mask, image, same = (nib.load(path) for path in (row["mask"], row["path"], served))
        assert mask.shape == image.shape
        np.testing.assert_allclose(mask.affine, image.affine, atol=1e-5)
        np.testing.assert_array_equal(mask.get_fdata(), same.get_fdata())
        Path(served).unlink()


def test_a_mask_that_does_not_fit_into_memory_costs_itself(
    studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = "xssr_strategy.commands.judged_model.original_label"
    monkeypatch.setattr(drawn, lambda *_: (_ for _ in ()).throw(MemoryError()))
    status, printed = run(capsys, "review", "--studies", studies, "--out", tmp_path / "queue.csv", "--shown", "2")
    assert status == 0
    assert "does not fit into memory; crop or downsample the image" in printed
    assert (tmp_path / "queue.csv").exists()


def test_the_worst_label_comes_first_and_an_empty_or_parted_mask_is_noted(
    studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(studies / ".xssr")
    publish_judged(workspace.segmentation, 1, plan=replace(PLAN, labels=("liver", "spleen")))

    def found(predict: object, image: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(3, *image.shape[1:])
        if image.mean() > 0.05:
            logits[1, 2:6, 2:6] = logits[1, 20:26, 20:26] = logits[2, 10:14, 2:20] = 99
        return logits

    monkeypatch.setattr("xssr_strategy.segmentation.inference.Predictor.__call__", found)
    monkeypatch.setattr(
        "xssr_strategy.segmentation.mask_quality.MaskAutoencoder.quality_of_mask",
        lambda judge, mask, labels: torch.tensor([0.75, 0.25]) ** 4 * bool(mask.any()),
    )
    Image.new("L", (52, 64)).save(studies / "disc04.png")
    run(capsys, "review", "--studies", studies, "--out", tmp_path / "queue.csv")
    by_image = {row["image"]: row for row in rows(tmp_path / "queue.csv")}
    empty = [row for row in by_image.values() if row["note"] == "the mask is empty"]
    assert by_image["disc04"] in empty
    assert {(row["rank"], row["quality"]) for row in empty} == {(f"{n}", "0.0000") for n in range(1, len(empty) + 1)}
    parted = [row for row in by_image.values() if row["note"] == "liver in 2 parts"]
    assert parted
    assert {row["qualities"] for row in parted} == {"spleen=0.2500 liver=0.7500"}
    page = (tmp_path / "queue.html").read_text(encoding="utf-8")
    assert "spleen 0.25, liver 0.75" in page
    assert "liver in 2 parts" in page
    described = {
        task["Name"]: task.get("Description")
        for task in json.loads((tmp_path / "queue.mitk.json").read_text())["Tasks"]
    }
    assert described["disc04"] == "liver 0.00, spleen 0.00, the mask is empty"


def test_the_pool_lists_the_qualities_when_it_is_asked_to(
    studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    EmbeddingStore(Workspace(studies / ".xssr").store).close()
    status, printed = run(capsys, "pool", "--studies", studies, "--quality")
    assert status == 0
    assert "No mask of a waiting image is judged yet" in printed
    run(capsys, "review", "--studies", studies, "--out", tmp_path / "queue.csv")
    status, printed = run(capsys, "pool", "--studies", studies, "--quality")
    assert status == 0
    listed = re.findall(r"(disc\d\d) +│ waiting +│ quality of its mask (\d\.\d\d)", printed)
    assert [image for image, _ in listed] == [row["image"] for row in rows(tmp_path / "queue.csv")]
    store = QualityStore(Workspace(studies / ".xssr").qualities)
    assert len(store.means()) == 6
    publish_judged(Workspace(studies / ".xssr").segmentation, 2)
    _, printed = run(capsys, "pool", "--studies", studies, "--quality")
    assert printed.count("by a former network") == 6
