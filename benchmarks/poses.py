r"""The volumes of a domain's test cases as other scanners frame them: the head pitched, turned and cut from below.

    python -m benchmarks.poses simulations/development/brain-ixi simulations/domains/dev-brain-ixi-poses

Adds to the contrasts of :mod:`benchmarks.contrasts` each case in a pose of its own: pitch up to 20 degrees, roll and
yaw up to 10, then the upper 55 to 75 per cent of the volume. The draws are those of a seed.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from benchmarks import contrasts
from benchmarks.domain_files import from_domain_to_folder, write_column
from xssr_strategy.simulation.domains import read_domain

PITCH, OTHER = 20.0, 10.0  # degrees
KEPT = (0.55, 0.75)


def posed(
    values: NDArray[np.float64], spacing: NDArray[np.float64], angles: NDArray[np.float64], order: int
) -> NDArray[np.float64]:
    """Turned about its middle by Euler angles (x, y, z) in degrees; what comes in from outside is the least value."""
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix = np.diag(1 / spacing) @ turn @ np.diag(spacing)
    middle = (np.array(values.shape) - 1) / 2
    turned = affine_transform(values, matrix, middle - matrix @ middle, order=order, cval=float(values.min()))
    return np.asarray(turned)


def main(domain: Path, out: Path, seed: int = 0) -> None:
    """Write the contrasts and, as the site ``posed``, the poses below ``out``."""
    contrasts.main(domain, out)
    made = read_domain(out, "OUT")
    sites, patients, test = dict(made.sites), dict(made.patients), set(made.test)
    read, rng = read_domain(domain, "DOMAIN"), np.random.default_rng(seed)
    for case in sorted(read.test):
        angles, kept = rng.uniform(-1, 1, 3) * (PITCH, OTHER, OTHER), rng.uniform(*KEPT)
        for folder, source, order in (("images", read.images[case], 1), ("labels", read.labels[case], 0)):
            volume = nib.as_closest_canonical(nib.nifti1.load(source))  # x from left to right: pitch is about it
            spacing = np.array(volume.header.get_zooms()[:3], dtype=np.float64)
            values = posed(np.asarray(volume.dataobj, dtype=np.float64), spacing, angles, order)
            first = round((1 - kept) * values.shape[2])
            affine = volume.affine.copy()
            affine[:3, 3] += affine[:3, 2] * first
            changed = values[:, :, first:]
            kind = np.uint8 if folder == "labels" else np.float32
            nib.save(nib.Nifti1Image(changed.astype(kind), affine), out / folder / f"{case}-posed.nii.gz")
        name = f"{case}-posed"
        sites[name], patients[name] = "posed", case
        test.add(name)
    (out / "test.txt").write_text("".join(f"{name}\n" for name in sorted(test)))
    write_column(out, "site", sites)
    write_column(out, "patient", patients)
    print(f"{out}: and {len(read.test)} cases in poses of their own")


if __name__ == "__main__":
    arguments = from_domain_to_folder(__doc__).parse_args()
    main(arguments.domain, arguments.out)
