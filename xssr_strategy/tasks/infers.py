"""The models that the server offers for masks."""

from __future__ import annotations

from monailabel.interfaces.tasks.infer_v2 import InferTask

from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.propagation_infer import PROPAGATE, PropagationInfer
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer


def served_models(project: Project) -> dict[str, InferTask]:
    """Segmentation by the published network, and in 3-D propagation of drawn slices."""
    segmentation = SegmentationInfer(
        project.workspace.segmentation,
        project.preset,
        project.settings.labels,
        len(project.source_labels.pairs),
    )
    models: dict[str, InferTask] = {"segmentation": segmentation}
    if project.preset.spatial_dims == 3:
        models[PROPAGATE] = PropagationInfer(segmentation)
    return models
