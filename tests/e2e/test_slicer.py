"""3D Slicer at work on volumes and on pictures: the module's requests, in the order a user causes them.

What is refused is refused with a status from 400 to 499 and a sentence, and nothing that was there before is lost.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
import SimpleITK as sitk

from tests.support.data import held_out
from tests.support.slicer import Slicer
from tests.support.slicer_images import stack
from tests.support.slicer_room import (
    PICTURES,
    VOLUMES,
    Room,
    a_label_is_submitted,
    half,
    label_file,
    labelled_image,
    opened_room,
    refusal,
    same_place,
    unlabelled_image,
    wait_for_training,
)

pytestmark = pytest.mark.e2e

TRAINING = {"max_epochs": 1, "steps_per_epoch": 3}


@pytest.fixture(scope="module", params=[VOLUMES, PICTURES], ids=["volumes", "pictures"])
def room(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with opened_room(request.param, tmp_path_factory.mktemp("slicer")) as room:
        yield room


# Connect, and the first images.


def test_the_menus_are_filled_and_xssr_is_the_first_strategy(room: Room) -> None:
    info = room.ann.connect()
    assert room.ann.menu("strategies")[0] == "xssr"
    assert room.ann.menu("trainers")[0] == "segmentation"
    assert room.ann.menu("models") == []
    assert room.ann.menu("scribbles") == (["propagate"] if room.domain is VOLUMES else [])
    assert info["labels"] == list(room.domain.labels)
    assert info["datastore"]["total"] == room.domain.pool
    assert "config" not in info  # or Slicer asks for an upgrade of the server
    assert not room.ann.training_running()


def test_a_model_before_there_is_one(room: Room) -> None:
    assert "train" in refusal(lambda: room.ann.infer("segmentation", room.ids[0], {}))


def test_the_next_sample_is_downloaded_as_it_is(room: Room) -> None:
    sample = room.ann.next_sample()
    assert sample["id"] in room.ids
    assert room.ann.scene is not None
    file = room.domain.image(sample["id"])
    assert room.ann.scene.file.name == sample["name"]
    assert room.ann.scene.file.read_bytes() == file.read_bytes()
    assert room.ann.scene.volume.GetDimension() == 3
    assert room.entry(sample["id"])["image"]["info"]["strategy"]["xssr"]["client_id"] == "ann"


def test_slicer_on_the_machine_of_the_server_opens_the_same(room: Room, tmp_path: Path) -> None:
    near = Slicer(room.server.url, tmp_path, "ann", same_machine=True)
    near.connect()
    sample = near.next_sample()
    assert near.scene is not None
    assert near.scene.file.read_bytes() == room.domain.image(sample["id"]).read_bytes()


def test_what_one_has_passed_over_goes_to_no_other(room: Room) -> None:
    passed_over = {room.ann.next_sample()["id"] for _ in range(2)}
    others = {room.bob.next_sample()["id"], room.eve.next_sample()["id"]}
    assert len(passed_over) == 2
    assert len(others) == 2
    assert not passed_over & others


@pytest.mark.parametrize("same_machine", [False, True], ids=["downloaded", "in place"])
def test_slicer_opens_the_image_alone_and_not_as_a_stack_with_its_neighbours(
    room: Room, tmp_path: Path, same_machine: bool
) -> None:
    slicer = Slicer(room.server.url, tmp_path, "bob", same_machine=same_machine)
    slicer.connect()
    for _ in range(2):  # the first download has no neighbours yet
        slicer.next_sample()
    assert slicer.scene is not None
    assert stack(slicer.scene.file) == [slicer.scene.file.name]


def test_a_download_of_another_study_is_not_taken_for_an_image_of_the_same_name(room: Room, tmp_path: Path) -> None:
    slicer = Slicer(room.server.url, tmp_path, "eve")
    slicer.connect()
    for image, other in zip(room.ids, [*room.ids[1:], room.ids[0]], strict=True):
        (slicer.cache / room.domain.image(image).name).write_bytes(room.domain.image(other).read_bytes())
    sample = slicer.next_sample()
    assert slicer.scene is not None
    assert slicer.scene.file.read_bytes() == room.domain.image(sample["id"]).read_bytes()


# Labels.


def test_a_label_as_slicer_writes_it_is_what_the_trainer_reads(room: Room) -> None:
    a_label_is_submitted(room)


# Train, and what the model says.


def test_the_first_label_trains_a_network_by_single_strip_whose_masks_have_a_quality(room: Room) -> None:
    room.ann.start_training(method="single_strip", **TRAINING)
    status = wait_for_training(room.ann)
    assert status["status"] == "DONE", status
    stats = room.ann.connect()["train_stats"]["segmentation"]
    assert (stats["method"], stats["labels"]["trained_on"]) == ("single_strip", 1)
    assert f"training by single_strip, with {room.domain.pool - 1} unlabelled images" in room.log()
    room.ann.next_sample("review")
    mask = room.ann.run_model()
    assert room.ann.scene is not None
    assert same_place(mask, room.ann.scene.volume)
    assert list(room.ann.told["label_quality"]) == list(room.domain.labels)
    assert 0 <= room.ann.told["quality"] <= 1


def test_the_pool_answers_while_the_model_is_trained(room: Room) -> None:
    a_label_is_submitted(room)
    started = room.ann.start_training(**TRAINING)
    assert started["request"]["model"] == "segmentation"
    while room.ann.training_status()["status"] == "SUBMITTED":
        time.sleep(0.1)
    assert room.eve.next_sample()["id"] in room.ids
    assert room.ann.training_running()  # the answer did not wait for its end
    status = wait_for_training(room.ann)
    assert status["status"] == "DONE", status
    assert "training on 2 labels; 0 left out" in room.log()
    room.ann.connect()
    assert room.ann.menu("models") == ["segmentation"]
    assert room.ann.info["train_stats"]["segmentation"]["total_time"]


def test_the_mask_of_the_image_at_hand_lies_on_its_voxels(room: Room) -> None:
    room.ann.auto_segmentation = False
    sample = room.ann.next_sample()
    mask = room.ann.run_model()
    assert room.ann.scene is not None
    assert same_place(mask, room.ann.scene.volume), (mask.GetSize(), mask.GetDirection())
    of_labels = room.ann.told["label_quality"]  # what Slicer prints of the result's parameters
    assert list(of_labels) == list(room.domain.labels)
    assert all(0 <= quality <= 1 for quality in of_labels.values())
    assert room.ann.told["quality"] == pytest.approx(np.mean(list(of_labels.values())))
    assert set(np.unique(sitk.GetArrayFromImage(mask))) <= set(range(len(room.domain.labels) + 1))
    assert not room.entry(sample["id"])["labels"]


def test_the_next_sample_comes_with_a_mask_unless_that_is_switched_off(room: Room) -> None:
    room.bob.connect()
    room.bob.next_sample()
    assert room.bob.mask is not None


def test_an_image_from_elsewhere_is_segmented_in_a_session_and_joins_the_pool(room: Room) -> None:
    image = held_out(room.domain.folder)[0]
    room.ann.load_volume(room.domain.image(image))
    assert room.ann.scene is not None
    by_session = room.ann.run_model()
    assert same_place(by_session, room.ann.scene.volume)
    assert room.ann.send("GET", f"/session/{room.ann.scene.sample['session_id']}").status_code == 200
    assert room.ann.info["datastore"]["total"] == room.domain.pool
    room.ann.submit_label(room.domain.drawn(image))
    assert room.ann.info["datastore"]["total"] == room.domain.pool + 1
    by_id = room.ann.run_model()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(by_id), sitk.GetArrayFromImage(by_session))


def test_an_image_from_elsewhere_does_not_replace_one_of_the_pool_that_has_its_name(room: Room, tmp_path: Path) -> None:
    image = labelled_image(room)
    other = next(name for name in room.ids if name != image)
    file = tmp_path / room.domain.image(image).name
    file.write_bytes(room.domain.image(other).read_bytes())
    before, good = room.entry(image), room.stored(image).read_bytes()
    room.ann.load_volume(file)
    assert image in refusal(lambda: room.ann.submit_label(room.domain.drawn(other)), 409)
    assert (room.studies / file.name).read_bytes() == room.domain.image(image).read_bytes()
    assert room.entry(image) == before
    assert room.stored(image).read_bytes() == good


# What goes wrong.


def test_a_connection_that_breaks_during_the_upload_changes_nothing(room: Room, tmp_path: Path) -> None:
    image = unlabelled_image(room)
    body = label_file(room, image, tmp_path).read_bytes()
    address = urlparse(room.server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        part = b'--x\r\nContent-Disposition: form-data; name="label"; filename="l.nii.gz"\r\n\r\n' + body
        head = f"PUT /datastore/label?image={image} HTTP/1.1\r\nHost: slicer\r\nContent-Length: {2 * len(part)}\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + part)
    time.sleep(0.5)
    assert not room.entry(image)["labels"]


def test_a_label_for_an_unknown_image(room: Room, tmp_path: Path) -> None:
    file = label_file(room, room.ids[0], tmp_path)
    before = room.labelled()
    assert "nobody" in refusal(lambda: room.ann.save_label("nobody", file, {"label_info": []}), 404)
    assert room.labelled() == before
    assert not room.stored("nobody").exists()


def test_a_label_that_is_cut_in_half_is_refused_and_the_good_one_stays(room: Room, tmp_path: Path) -> None:
    image = labelled_image(room)
    good = room.stored(image).read_bytes()
    cut = half(label_file(room, image, tmp_path))
    assert "damaged" in refusal(lambda: room.ann.save_label(image, cut, {"label_info": []}))
    assert room.stored(image).read_bytes() == good


def test_after_a_refused_label_the_image_still_waits_for_one(room: Room, tmp_path: Path) -> None:
    image = unlabelled_image(room)
    cut = half(label_file(room, image, tmp_path))
    before = room.labelled()
    refusal(lambda: room.ann.save_label(image, cut, {"label_info": []}))
    assert not room.entry(image)["labels"]
    assert room.labelled() == before


def test_a_label_of_another_shape_than_its_image(room: Room, tmp_path: Path) -> None:
    image = unlabelled_image(room)
    drawn = room.domain.drawn(image)
    file = tmp_path / "other.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.concatenate([drawn, drawn])), str(file))
    assert " x " in refusal(lambda: room.ann.save_label(image, file, {"label_info": []}))
    assert not room.entry(image)["labels"]


@pytest.mark.parametrize("params", ["{not json", "[1]"])
def test_a_label_with_broken_params(room: Room, tmp_path: Path, params: str) -> None:
    image = unlabelled_image(room)
    file = label_file(room, image, tmp_path)
    assert "params" in refusal(lambda: room.ann.save_label(image, file, params))
    assert not room.stored(image).exists()  # or the server would find it there later
    assert not room.entry(image)["labels"]


def test_an_unknown_strategy(room: Room) -> None:
    assert "nothing" in refusal(lambda: room.ann.next_sample("nothing"), 404)


def test_an_unknown_model(room: Room) -> None:
    assert "nothing" in refusal(lambda: room.ann.run_model("nothing"), 404)


def test_an_unknown_trainer(room: Room) -> None:
    assert "nothing" in refusal(lambda: room.ann.start_training("nothing"), 404)


def test_a_model_with_broken_params_or_an_unknown_image(room: Room) -> None:
    assert "params" in refusal(lambda: room.ann.infer("segmentation", room.ids[0], "{not json"))
    assert "nobody" in refusal(lambda: room.ann.infer("segmentation", "nobody", {}), 404)


# The end.


def test_when_all_is_labelled_the_answer_is_empty(room: Room) -> None:
    for slicer in (room.ann, room.bob, room.eve):  # each first gets again what they have passed over
        slicer.auto_segmentation = False
        while sample := slicer.next_sample():
            slicer.submit_label(room.domain.drawn(sample["id"]))
    for slicer in (room.ann, room.bob, room.eve):
        answer = slicer.send("POST", "/activelearning/xssr", "{}", {"content-type": "application/json"})
        assert (answer.status_code, answer.json()) == (200, {})
    done = room.ann.connect()["datastore"]
    assert done["completed"] == done["total"]


def test_no_traceback_in_the_log(room: Room) -> None:
    log = room.log()
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
