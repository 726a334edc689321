"""Labels that are sent as the voxels alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from xssr_strategy.archive.volumes import write_nifti
from xssr_strategy.datastores.nifti_cache import NIFTI
from xssr_strategy.errors import UserError


def voxels_file(file: Path, reference: Any, temporary: Path) -> Path:
    """Bytes in the order x, y, z -> a label file.

    Raises:
        UserError: there are not as many as the image has voxels.
    """
    values = np.fromfile(file, dtype=np.uint8)
    size = reference.GetSize()
    if values.size != int(np.prod(size)):
        raise UserError(
            f"The label has {values.size} voxels, but its image {' x '.join(map(str, size))}; submit it again."
        )
    label = sitk.GetImageFromArray(values.reshape(size[::-1]))
    label.CopyInformation(reference)
    whole = temporary / f"voxels{NIFTI}"
    write_nifti(label, whole)
    return whole
