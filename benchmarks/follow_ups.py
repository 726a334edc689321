r"""A domain of pictures whose patients come again: a share of the pool has a follow-up, the same picture taken anew.

    python -m benchmarks.follow_ups ../shared/data/cxr-lung/shenzhen simulations/domains/shenzhen-follow-ups

A follow-up is the picture turned by up to 5 degrees, moved by up to 3 % of its sides, of another size by up to 5 %,
with another contrast (exponent 0.8 to 1.25) and noise of 2 % of its range; the label moves with it. It is of the same
patient and of the kind ``follow-up``. Images, patients, sites and test cases of the domain stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import affine_transform

from benchmarks.domain_files import from_domain_to_folder, write_column
from xssr_strategy.simulation.domains import Domain, held_out, read_domain, without_label

TURN, MOVE, SIZE, CONTRAST, NOISE = 5.0, 0.03, 0.05, (0.8, 1.25), 0.02


@dataclass(frozen=True)
class FollowUp:
    """How a picture is taken anew.

    Attributes:
        turn: degrees.
        move: of each axis, as a share of the side.
        size: factor.
        contrast: exponent of grey values scaled to [0, 1].
    """

    turn: float
    move: tuple[float, float]
    size: float
    contrast: float

    def moved(self, values: NDArray[np.float64], order: int) -> NDArray[np.float64]:
        """(rows, columns), turned and moved about its middle; what comes in from outside repeats the edge."""
        angle = np.deg2rad(self.turn)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / self.size
        middle = (np.array(values.shape) - 1) / 2
        offset = middle - turn @ (middle + np.array(self.move) * values.shape)
        return np.asarray(affine_transform(values, turn, offset, order=order, mode="nearest"))


def drawn(rng: np.random.Generator) -> FollowUp:
    """One of the ranges above."""
    return FollowUp(
        turn=rng.uniform(-TURN, TURN),
        move=(rng.uniform(-MOVE, MOVE), rng.uniform(-MOVE, MOVE)),
        size=rng.uniform(1 - SIZE, 1 + SIZE),
        contrast=float(np.exp(rng.uniform(*np.log(CONTRAST)))),
    )


def make(domain: Path, out: Path, share: float = 0.33, seed: int = 0) -> None:
    """Link the domain's images and labels below ``out``, and write follow-ups of a share of its pool beside them."""
    read, rng = held_out(read_domain(domain, "DOMAIN")), np.random.default_rng(seed)
    if without_label(read):
        raise SystemExit(f"{domain}: no label for {without_label(read)[0]}; add it or remove the image.")
    patients, sites, kinds = dict(read.patients), dict(read.sites), dict(read.kinds)
    for folder, files in (("images", read.images), ("labels", read.labels)):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for file in files.values():
            link = out / folder / file.name
            if not link.is_symlink():
                link.symlink_to(file.resolve())
    again = sorted(rng.permutation(read.pool)[: round(share * len(read.pool))].tolist())
    for image in again:
        name = f"{image}-follow-up"
        _write(read, image, out, name, drawn(rng), rng)
        patients[name], sites[name], kinds[name] = read.patients[image], read.sites[image], "follow-up"
    (out / "test.txt").write_text("".join(f"{case}\n" for case in sorted(read.test)))
    for column, told in (("patient", patients), ("site", sites), ("kind", kinds)):
        write_column(out, column, told)
    print(f"{out}: {len(read.pool)} images in the pool and {len(again)} follow-ups")


def _write(domain: Domain, image: str, out: Path, name: str, how: FollowUp, rng: np.random.Generator) -> None:
    with Image.open(domain.images[image]) as picture:
        if picture.mode not in ("L", "RGB", "P"):
            raise SystemExit(
                f"{domain.images[image]}: only pictures of 8 bits are taken anew, this one is {picture.mode}."
            )
        values = np.asarray(picture.convert("L"), dtype=np.float64) / 255
    grey = np.clip(how.moved(values, order=1), 0, 1) ** how.contrast + rng.normal(0, NOISE, values.shape)
    Image.fromarray((255 * np.clip(grey, 0, 1)).round().astype(np.uint8)).save(out / "images" / f"{name}.png")
    with Image.open(domain.labels[image]) as picture:
        label = np.asarray(picture)
    if label.ndim != 2 or label.shape != values.shape:
        raise SystemExit(f"{domain.labels[image]}: only labels of one channel and of the image's shape are moved.")
    moved = how.moved(label.astype(np.float64), order=0).astype(label.dtype)
    Image.fromarray(moved).save(out / "labels" / f"{name}.png")


if __name__ == "__main__":
    arguments = from_domain_to_folder(__doc__).parse_args()
    make(arguments.domain, arguments.out)
