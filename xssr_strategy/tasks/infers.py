"""The models that the server offers for masks, by name."""

from __future__ import annotations

from functools import cache

from monailabel.interfaces.tasks.infer_v2 import InferTask

from xssr_strategy.segmentation.propagation.engines import engines
from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.propagation_infer import PROPAGATE, PropagationInfer
from xssr_strategy.tasks.refinement_infer import REFINED, RefinementInfer
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer


def served_models(project: Project) -> dict[str, InferTask]:
    """Segmentation by the published network, refined where SAM 2 is, and in 3-D propagation of drawn slices."""
    weights, side = project.settings.sam_weights, project.settings.sam_side
    segmentation = SegmentationInfer(
        project.workspace.segmentation,
        project.preset,
        project.settings.labels,
        len(project.source_labels.pairs),
    )
    models: dict[str, InferTask] = {"segmentation": segmentation}
    if weights is not None:
        folder = weights

        @cache
        def boxes() -> BoxSegmenter:
            from xssr_strategy.segmentation.refinement.sam2 import Sam2Boxes  # whose library takes seconds

            return Sam2Boxes(folder, side)

        models[REFINED] = RefinementInfer(segmentation, boxes)
    if project.preset.spatial_dims == 3:
        models[PROPAGATE] = PropagationInfer(segmentation, engines(weights, side), side)
    return models
