"""One drawn slice becomes a volume, and masks are refined, behind 3D Slicer's requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import SimpleITK as sitk
import torch

from tests.support.sam2 import tiny_network, write_weights
from tests.support.slicer_images import read_volume
from tests.support.slicer_room import VOLUMES, Room, opened_room, refusal, same_place
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.publication import publish
from xssr_strategy.segmentation.training import train

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with opened_room(VOLUMES, tmp_path_factory.mktemp("slicer")) as room:
        yield room


def test_one_drawn_slice_becomes_a_volume(room: Room) -> None:
    sample = room.eve.next_sample()
    truth = room.domain.drawn(sample["id"])
    assert "nothing to propagate" in refusal(lambda: room.eve.run_model("propagate"))
    # All segments are sent: one that is finished, the one that is drawn on a slice, and what the brush painted.
    segments = ("anterior", "posterior", "background_scribbles", "foreground_scribbles")
    nothing = np.zeros_like(truth)
    assert "nothing is drawn" in refusal(lambda: room.eve.update_scribbles(nothing, segments, "posterior"))
    place = int((truth == 2).sum(axis=(1, 2)).argmax())
    drawn = np.where(truth == 1, 1, 0)
    drawn[place] = np.where(truth[place] == 2, 2, 3)
    drawn[place, :, : truth.shape[2] // 2][drawn[place, :, : truth.shape[2] // 2] == 2] = 4
    mask = room.eve.update_scribbles(drawn, segments, "posterior")
    assert same_place(mask, read_volume(room.domain.image(sample["id"])))
    found = sitk.GetArrayFromImage(mask)
    assert np.unique(found).tolist() == [0, 2]
    assert ((found[place] == 2) == (truth[place] == 2)).all()
    both = ((found == 2) & (truth == 2)).sum()
    assert both > 3 * (truth[place] == 2).sum()
    assert 2 * both / ((found == 2).sum() + (truth == 2).sum()) > 0.4
    told = room.eve.told
    assert (told["engine"], told["orientation"]) == ("registration", "transverse")
    assert told["label_names"] == {"anterior": 1, "posterior": 2}
    assert told["filled"] == (found > 0).any(axis=(1, 2)).sum() - 1


def test_an_image_of_a_session_is_propagated_as_one_of_the_studies_is(room: Room, tmp_path: Path) -> None:
    sample = room.eve.next_sample()
    file, truth = room.domain.image(sample["id"]), room.domain.drawn(sample["id"])
    drawn = np.zeros_like(truth)
    place = int((truth == 1).sum(axis=(1, 2)).argmax())
    drawn[place] = truth[place]
    label = sitk.GetImageFromArray(drawn.astype(np.uint8))
    label.CopyInformation(read_volume(file))
    sitk.WriteImage(label, str(tmp_path / "label.nii.gz"))
    session = requests.put(f"{room.server.url}/session/", files={"files": (file.name, file.read_bytes())}, timeout=60)

    def mask(**where: str) -> np.ndarray:
        sent = {"label": ("label.nii.gz", (tmp_path / "label.nii.gz").read_bytes())}
        params = {"output": "image", **where}
        answer = requests.post(f"{room.server.url}/infer/propagate", params=params, files=sent, timeout=120)
        assert answer.status_code == 200, answer.text
        (tmp_path / "mask.nii.gz").write_bytes(answer.content)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "mask.nii.gz")))

    of_session = mask(session_id=session.json()["session_id"])
    np.testing.assert_array_equal(of_session, mask(image=sample["id"]))
    np.testing.assert_array_equal(of_session[place], truth[place])
    assert (of_session > 0).sum() > 3 * (truth[place] > 0).sum()


def test_it_takes_one_image_at_a_time_and_no_network(room: Room) -> None:
    batch = room.eve.send("POST", "/batch/infer/propagate", "{}", {"content-type": "application/json"})
    assert (batch.status_code, "one image at a time" in batch.text) == (422, True), batch.text
    upload = requests.put(f"{room.server.url}/model/propagate", files={"file": b"weights"}, timeout=60)
    assert (upload.status_code, "does not exist" in upload.text) == (404, True), upload.text
    assert "Traceback" not in room.log()


def test_sam_2_follows_slices_and_refines_masks(tmp_path: Path) -> None:
    """With drawn weights, which find nothing of use: what is asked, where the answers lie, and what they tell."""
    weights = write_weights(tiny_network(), tmp_path / "weights")
    with opened_room(VOLUMES, tmp_path / "slicer", sam_weights=weights) as room:
        eve, labels = room.eve, room.domain.labels
        sample = eve.next_sample()
        volume, truth = read_volume(room.domain.image(sample["id"])), room.domain.drawn(sample["id"])
        place = int((truth == 1).sum(axis=(1, 2)).argmax())
        drawn = np.zeros_like(truth)
        drawn[place] = truth[place]
        mask = eve.update_scribbles(drawn, labels, labels[0])
        assert same_place(mask, volume)
        found = sitk.GetArrayFromImage(mask)
        assert ((found[place] == 1) == (truth[place] == 1)).all()
        assert not (found == 2).any()
        assert (eve.told["engine"], eve.told["drawn"]) == ("sam2", [place])

        eve.update_scribbles(drawn, labels, labels[0], engine="registration")
        assert eve.told["engine"] == "registration"
        for wrong, sentence in (("guess", "'guess' is not one of sam2, registration"), (7, "engine")):
            told = refusal(lambda wrong=wrong: eve.update_scribbles(drawn, labels, labels[0], engine=wrong))  # type: ignore[misc]
            assert sentence in told

        assert "segmentation_refined" not in eve.info["models"]  # there is no network yet
        pairs = [{"image": str(room.domain.image(image)), "label": str(room.domain.label(image))} for image in room.ids]
        usable, _ = usable_pairs(pairs[:2], PRESETS["mri"], labels)
        plan = plan_from(usable, PRESETS["mri"], labels)
        network = train(Supervised(12), TrainingData(PRESETS["mri"], usable), plan, 0, torch.device("cpu"))
        publish(network.state_dict(), plan, room.studies / ".xssr" / "model" / "segmentation.pt")
        eve.connect()
        coarse = sitk.GetArrayFromImage(eve.run_model("segmentation"))
        mask = eve.run_model("segmentation_refined")
        assert same_place(mask, volume)
        fine = sitk.GetArrayFromImage(mask)
        assert coarse.any()
        assert not fine[~coarse.any(axis=(1, 2))].any()
        assert eve.told["engine"] == "sam2"
        assert eve.told["refined"] + eve.told["kept"] > 0
        batch = eve.send("POST", "/batch/infer/segmentation_refined", "{}", {"content-type": "application/json"})
        assert batch.status_code == 200, batch.text
        if eve.told["refined"] == 0:
            assert (fine == coarse).all()
        assert "Traceback" not in room.log()
