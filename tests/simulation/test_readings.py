"""A simulation goes on with what an earlier version of the reading has found, where the reading is the same."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.odd_pictures import png
from xssr_strategy.images.listing import content_digest
from xssr_strategy.simulation.work import content_of


def test_the_digest_of_a_training_tells_images_that_are_read_otherwise(tmp_path: Path) -> None:
    plain, deep, label = tmp_path / "plain.png", tmp_path / "deep.png", tmp_path / "label.png"
    for file in (plain, label):
        Image.fromarray(np.eye(16, dtype=np.uint8)).save(file)
    deep.write_bytes(png(16, 20, 16, 2, (b"\0" + bytes(range(96))) * 20))

    def by_the_first_version(image: Path) -> str:
        contents = {"case": [content_digest(image), content_digest(label)]}
        return sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:10]

    for image, same in ((plain, True), (deep, False)):
        found = content_of({"case": {"image": str(image), "label": str(label)}})
        assert (found == by_the_first_version(image)) is same
