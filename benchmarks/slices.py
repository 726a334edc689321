"""A domain of pictures: transverse slices of labelled volumes, with and without the label, and of whom they are.

    python -m benchmarks.slices ../shared/data/left-atrium simulations/domains/left-atrium-slices --labels atrium

Of each volume ``--count`` slices, spread evenly from the lowest to the highest, as radiologists see them.
``patients.csv`` names the volume of each; slices of held-out volumes are held out.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from xssr_strategy.images.detect import detect_preset
from xssr_strategy.images.preprocessing import conform, scale_intensity
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import read_label
from xssr_strategy.simulation.domains import read_domain


def main(domain: Path, out: Path, labels: str, count: int) -> None:
    """Write images, labels, ``test.txt`` and ``patients.csv`` below ``out``."""
    read, names = read_domain(domain, "DOMAIN"), labels.split(",")
    preset = detect_preset([read.images[read.pool[0]]])
    facts, test = [], []
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for volume in sorted(read.labels):
        image = conform(read_image(read.images[volume]), preset, read.images[volume])
        label = read_label(read.labelled(volume, names)["label"], names, image)[0].numpy()
        grey = scale_intensity(image.as_tensor(), preset)[0].numpy() * 255
        for place in np.unique(np.linspace(0, label.shape[-1] - 1, count).round().astype(int)):
            name = f"{volume}-{place:03}"
            for folder, values in (("images", grey), ("labels", label)):
                upright = values[..., place].T[::-1, ::-1].round().astype(np.uint8)
                Image.fromarray(np.ascontiguousarray(upright)).save(out / folder / f"{name}.png")
            facts.append((name, volume))
            test += [name] if volume in read.test else []
    (out / "test.txt").write_text("".join(f"{name}\n" for name in test))
    with (out / "patients.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "patient"), *facts])
    print(f"{out}: {len(facts) - len(test)} slices in the pool, {len(test)} held out of it")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", type=Path, help="labelled volumes")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--labels", required=True, help="names of the labels 1, 2, ...")
    parser.add_argument("--count", type=int, default=8)
    main(**vars(parser.parse_args()))
