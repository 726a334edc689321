"""How a network is run over an image that is larger than what it sees at once."""

from __future__ import annotations

from monai.inferers import Inferer, SimpleInferer, SlidingWindowInferer

from xssr_strategy.segmentation.plan import SegmentationPlan


def build_inferer(plan: SegmentationPlan) -> Inferer:
    """One pass for 2-D images, which fit by construction; overlapping windows, weighted by a Gaussian, for 3-D.

    An overlap of a half is nnU-Net's choice (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z). Four windows at once
    take half the time of one by one on a processor, where PyTorch convolves a single small window by a slower way.
    """
    if plan.spatial_dims == 2:
        return SimpleInferer()
    return SlidingWindowInferer(roi_size=plan.roi, sw_batch_size=4, overlap=0.5, mode="gaussian")
