"""A server and three annotators at their Slicers, and what the tests ask of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from tests.support.data import HIPPOCAMPUS, SHENZHEN, held_out, need
from tests.support.harness import copy_pool
from tests.support.slicer import Refused, Slicer
from tests.support.slicer_images import read_volume
from tests.support.warm import start_server
from xssr_strategy.demo.server import Server
from xssr_strategy.images.preprocessing import conform
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import read_label


@dataclass(frozen=True)
class Domain:
    """Real images of one kind; a pool of ``pool`` of them."""

    folder: Path
    suffix: str
    pool: int
    labels: tuple[str, ...]
    preset: str

    def image(self, image: str) -> Path:
        return self.folder / "images" / f"{image}{self.suffix}"

    def label(self, image: str) -> Path:
        return self.folder / "labels" / f"{image}{self.suffix}"

    def drawn(self, image: str) -> np.ndarray:
        """What an annotator draws: the real label as numbers (Z, Y, X), of a picture one slice."""
        label = sitk.GetArrayFromImage(sitk.ReadImage(str(self.label(image))))
        return label if label.ndim == 3 else (label > 0)[None].astype(np.uint8)


VOLUMES = Domain(HIPPOCAMPUS, ".nii.gz", 8, ("anterior", "posterior"), "mri")
PICTURES = Domain(SHENZHEN, ".png", 10, ("lung",), "xray")


@dataclass(frozen=True)
class Room:
    """A server and three annotators; each has a Slicer on a machine of their own."""

    server: Server
    studies: Path
    domain: Domain
    ids: list[str]
    ann: Slicer
    bob: Slicer
    eve: Slicer

    def stored(self, image: str) -> Path:
        """The submitted label of an image, which Slicer writes as ``.nii.gz`` whatever the image is."""
        return self.studies / "labels" / "final" / f"{image}.nii.gz"

    def entry(self, image: str) -> dict[str, Any]:
        """What the datastore knows of an image."""
        known: dict[str, Any] = self.ann.send("GET", "/datastore/?output=all").json()["objects"][image]
        return known

    def labelled(self) -> int:
        return int(self.ann.connect()["datastore"]["completed"])

    def log(self) -> str:
        return self.server.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def opened_room(domain: Domain, folder: Path, **more: object) -> Iterator[Room]:
    """The first images of a domain in a new folder, with a server and three annotators who have connected.

    Args:
        more: ``--conf`` keys.
    """
    need(domain.folder)
    known = {path.name.split(".")[0] for path in (domain.folder / "images").iterdir()}
    ids = sorted(known - set(held_out(domain.folder)))[: domain.pool]
    studies = copy_pool(domain.folder / "images", ids, folder / "studies")
    conf = {"labels": ",".join(domain.labels), "encoder_steps": 6, "budget": 4, **more}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONAI_LABEL_SESSION_PATH", str(folder / "sessions"))  # or they stay in the home folder
        server = start_server(studies, conf, folder / "server.log")
    with server:
        people = [Slicer(server.url, folder / name, name) for name in ("ann", "bob", "eve")]
        for slicer in people:
            slicer.connect()
        yield Room(server, studies, domain, ids, *people)


def refusal(action: Callable[[], Any], status: int | None = None) -> str:
    """The sentence with which the server refuses."""
    with pytest.raises(Refused) as refused:
        action()
    assert 400 <= refused.value.status < 500, str(refused.value)
    assert status in (None, refused.value.status), str(refused.value)
    assert "Traceback" not in refused.value.text
    return refused.value.sentence


def half(file: Path) -> Path:
    """The first half of a file, under another name."""
    cut = file.with_name(f"half_{file.name}")
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return cut


def same_place(mask: sitk.Image, volume: sitk.Image) -> bool:
    """Whether a mask lies on the voxels of a volume; Slicer needs three axes of it, of a picture too."""
    if mask.GetSize() != volume.GetSize():
        return False
    one, other = ([*image.GetOrigin(), *image.GetSpacing(), *image.GetDirection()] for image in (mask, volume))
    return np.allclose(one, other, atol=1e-4)


def label_file(room: Room, image: str, folder: Path) -> Path:
    """A good label of an image, as Slicer writes it."""
    file = folder / "label.nii.gz"
    label = sitk.GetImageFromArray(room.domain.drawn(image))
    label.CopyInformation(read_volume(room.domain.image(image)))
    sitk.WriteImage(label, str(file))
    return file


def labelled_image(room: Room) -> str:
    """An image with a submitted label."""
    return next(image for image in room.ids if room.stored(image).exists())


def unlabelled_image(room: Room) -> str:
    """An image without a label."""
    objects = room.ann.send("GET", "/datastore/?output=all").json()["objects"]
    return next(image for image in reversed(room.ids) if not objects[image]["labels"])


def wait_for_training(slicer: Slicer) -> dict[str, Any]:
    """The state in which the last training ended."""
    deadline = time.monotonic() + 600
    while slicer.training_status()["status"] == "SUBMITTED" or slicer.training_running():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return slicer.training_status()


def a_label_is_submitted(room: Room) -> None:
    """Ann draws the label of her next sample; the trainer reads what she drew."""
    sample = room.ann.next_sample()
    before = room.labelled()
    assert room.ann.submit_label(room.domain.drawn(sample["id"])) == {"image": sample["id"], "label": sample["id"]}
    assert room.ann.info["datastore"]["completed"] == before + 1
    info = room.entry(sample["id"])["labels"]["final"]["info"]
    assert [entry["name"] for entry in info["label_info"]] == list(room.domain.labels)
    image = conform(read_image(room.domain.image(sample["id"])), PRESETS[room.domain.preset])
    sent = read_label(room.stored(sample["id"]), room.domain.labels, image)
    real = read_label(room.domain.label(sample["id"]), room.domain.labels, image)
    assert (sent == real).all()
