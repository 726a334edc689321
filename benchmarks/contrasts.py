r"""The test cases of a domain in contrasts that no label shows: grey values as they are, inverted and shuffled.

    python -m benchmarks.contrasts ../shared/data/hippocampus simulations/domains/hippocampus
    xssr simulate --target ../shared/data/hippocampus --test simulations/domains/hippocampus --budget 1 \
        --strategies random --training supervised,single_strip --out simulations/hippocampus-contrasts
    python -m benchmarks.results simulations/hippocampus-contrasts --sites

Shuffled grey values keep their order within each of five bands between the least and the greatest of the image, and the
bands change places, the same for every image. The zero around a picture is a grey value as any other.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.domain_files import from_domain_to_folder, write_column
from xssr_strategy.simulation.domains import read_domain

BANDS = (3, 0, 4, 2, 1)
"""Which band takes the place of the first, second and so on."""

Change = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def inverted(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 for the least and 1 for the greatest value to the opposite."""
    return 1 - share


def shuffled(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each band in another's place."""
    band = np.minimum((share * len(BANDS)).astype(int), len(BANDS) - 1)
    return np.array(BANDS)[band] / len(BANDS) + (share - band / len(BANDS))


CONTRASTS: dict[str, Change] = {"as it is": lambda share: share, "inverted": inverted, "shuffled": shuffled}


def main(domain: Path, out: Path) -> None:
    """Write images, labels, ``test.txt``, ``sites.csv`` and ``patients.csv`` below ``out``."""
    read = read_domain(domain, "DOMAIN")
    facts: list[tuple[str, str, str]] = []
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for case in sorted(read.test):
        label = Path(read.labelled(case, ())["label"])
        for contrast, change in CONTRASTS.items():
            name = f"{case}-{contrast.replace(' ', '-')}"
            suffix = _write(read.images[case], out / "images" / name, change)
            shutil.copy(label, out / "labels" / (name + (suffix if label.name.endswith(suffix) else label.suffix)))
            facts.append((name, contrast, case))
    (out / "test.txt").write_text("".join(f"{name}\n" for name, _, _ in facts))
    write_column(out, "site", {name: contrast for name, contrast, _ in facts})
    write_column(out, "patient", {name: case for name, _, case in facts})
    print(f"{out}: {len(read.test)} cases in {len(CONTRASTS)} contrasts")


def _write(image: Path, out: Path, change: Change) -> str:
    """Write a changed picture or volume; its suffix."""
    if image.name.endswith(".nii.gz"):
        volume = nib.nifti1.load(image)
        changed = _changed(np.asarray(volume.dataobj, dtype=np.float64), change)
        nib.save(nib.Nifti1Image(changed.astype(np.float32), volume.affine), f"{out}.nii.gz")
        return ".nii.gz"
    with Image.open(image) as picture:
        changed = _changed(np.asarray(picture, dtype=np.float64), change)
    Image.fromarray(changed.round().astype(np.uint8)).save(f"{out}.png")
    return ".png"


def _changed(values: NDArray[np.float64], change: Change) -> NDArray[np.float64]:
    least, greatest = values.min(), values.max()
    share = (values - least) / max(greatest - least, 1e-9)
    return np.asarray(least + (greatest - least) * change(share))


if __name__ == "__main__":
    arguments = from_domain_to_folder(__doc__).parse_args()
    main(arguments.domain, arguments.out)
