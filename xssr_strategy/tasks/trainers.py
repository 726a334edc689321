"""The trainers of a server by name, as viewers list them."""

from __future__ import annotations

from functools import partial

from monailabel.interfaces.tasks.train import TrainTask

from xssr_strategy.tasks.encoder_start import encoder_to_start_from
from xssr_strategy.tasks.encoder_trainer import EncoderTrainer
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.segmentation_trainer import SegmentationTrainer
from xssr_strategy.tasks.unlabelled import unlabelled_images


def served_trainers(project: Project) -> dict[str, TrainTask]:
    """The segmentation network first, then the encoder."""
    segmentation = SegmentationTrainer(
        project.workspace.models,
        project.preset,
        project.settings.labels,
        project.workspace.segmentation,
        project.settings.training,
        partial(unlabelled_images, project),
        project.source_labels.pairs,
        partial(encoder_to_start_from, project),
    )
    return {"segmentation": segmentation, "encoder": EncoderTrainer(project)}
