"""Which images a training may learn from without a label."""

from __future__ import annotations

from pathlib import Path

from monailabel.interfaces.datastore import Datastore

from xssr_strategy.datastores.image_sets import labelled_of
from xssr_strategy.embedding.store import SOURCE, TARGET
from xssr_strategy.segmentation.data import some_images
from xssr_strategy.tasks.project import Project


def unlabelled_images(project: Project, datastore: Datastore) -> dict[str, Path]:
    """id -> path of images of pool and source without a label, as far as they are here.

    Left out are skipped and failed images, as in the ranking, and those of the source whose labels train or which it
    holds out as test cases; leased ones are not. If there are more than the settings allow, as many are drawn with
    their seed.
    """
    left_out = labelled_of(datastore) | project.failed.keys()
    target = {f"{TARGET} {image}": path for image, path in project.pool(datastore).items() if image not in left_out}
    labels = project.source_labels
    not_these = {Path(pair["image"]).resolve() for pair in labels.pairs} | labels.held_out
    source = {
        f"{SOURCE} {image}": path
        for image, path in project.opened.source_images().items()
        if path.resolve() not in not_these
    }
    here = {image: path for image, path in {**target, **source}.items() if path.exists()}
    return some_images(here, project.settings.unlabelled, project.settings.seed)
