"""The vectors that selectors see: encoders trained on the source, the pool embedded, no label in sight."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from scipy.spatial import KDTree

from xssr_strategy.embedding.checkpoint import EncoderCheckpoint, load_encoder
from xssr_strategy.embedding.encoder import learns_from
from xssr_strategy.embedding.pool import embed_pool
from xssr_strategy.embedding.standardise import standardise
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore
from xssr_strategy.pool.encoder_training import Progress, images_digest, train
from xssr_strategy.pool.pipeline import EMBEDDING
from xssr_strategy.pool.ranking import standardised_vectors
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.settings import Settings
from xssr_strategy.simulation.domains import refuse_other_names
from xssr_strategy.simulation.experiment import Experiment
from xssr_strategy.simulation.results import Site
from xssr_strategy.simulation.work import EncoderStart, content_of

_TEST = "test"  # domain of the store; for distances in the report alone


@dataclass(frozen=True)
class Embedded:
    """The pool as one encoder sees it.

    Attributes:
        images: ids of the pool that could be read, sorted.
        target: (N, D) standardised vectors, in the order of ``images``.
        source: (M, D) those of the source, or None without one.
        encoder: id of the checkpoint.
        source_images: ids of the source, in the order of ``source``.
    """

    images: tuple[str, ...]
    target: NDArray[np.float64]
    source: NDArray[np.float64] | None
    encoder: str
    source_images: tuple[str, ...] = ()

    def part(self, count: int, seed: int) -> Embedded:
        """What a seed sees of the pool: ``count`` images, drawn among the ids."""
        if count == len(self.images):
            return self
        rows = np.sort(np.random.default_rng([seed, 1]).permutation(len(self.images))[:count])
        return replace(self, images=tuple(self.images[row] for row in rows), target=self.target[rows])


class Embedding:
    """The encoders and vectors of an experiment, kept in a workspace and made where missing.

    Args:
        experiment: whose pool and source; what they hold out and the test cases are not looked at.
        root: folder of workspaces; encoders that learn from the same images share one.
    """

    def __init__(self, experiment: Experiment, root: Path) -> None:
        self._experiment = experiment
        self._pool = {image: experiment.target.images[image] for image in experiment.target.pool}
        self._source = _learned_from(experiment)
        self._workspace = Workspace(root / images_digest(self._source or self._pool)[:10])
        self._store = EmbeddingStore(self._workspace.store)

    def make(self, number: int, progress: Progress) -> Embedded:
        """Train encoder ``number`` if it is missing, embed what is new, and give the vectors.

        Raises:
            UserError: no image can be read.
        """
        checkpoint = self._checkpoint(number, progress)

        def on_image(done: int, total: int) -> None:
            progress(EMBEDDING, done, total)

        embed_pool(self._source, SOURCE, checkpoint, self._store, on_image)
        embed_pool(self._pool, TARGET, checkpoint, self._store, on_image)
        images, target, source = standardised_vectors(checkpoint.id, self._pool, self._store)
        of_source, _ = self._store.vectors(SOURCE, checkpoint.id)
        return Embedded(tuple(images), target, source, checkpoint.id, tuple(of_source))

    def encoder_start(self, name: str, number: int, progress: Progress) -> EncoderStart:
        """The encoder of this name with seed ``number``, trained if it is missing, for trainings that begin with it.

        Raises:
            UserError: no image can be read, or the labels that it needs are missing.
        """
        path = self._trained(name, number, progress)
        return EncoderStart(path, load_encoder(path).id)

    def set_aside(self) -> dict[str, str]:
        """id -> reason of the images of the pool that cannot be read; no strategy may pick them."""
        return {image: why for image, (_, why) in self._store.failures(TARGET).items() if image in self._pool}

    def sites(self, embedded: Embedded) -> list[Site]:
        """The sites of pool and test cases, and how far each is from the source; for the report alone."""
        experiment = self._experiment
        pool: dict[str, list[str]] = {}
        for image in embedded.images:
            pool.setdefault(experiment.target.sites[image], []).append(image)
        test: dict[str, list[str]] = {}
        for case in sorted(experiment.test.test):
            test.setdefault(experiment.test.sites[case], []).append(case)
        row = {image: row for row, image in enumerate(embedded.images)}
        sites = []
        for name in sorted(pool.keys() | test.keys()):
            inside, held_out = pool.get(name, []), test.get(name, [])
            distance = None
            if embedded.source is not None:
                vectors = embedded.target[[row[image] for image in inside]]
                if not inside:
                    vectors = self._test_vectors(held_out, embedded)
                distance = float(KDTree(embedded.source).query(vectors)[0].mean())
            sites.append(Site(name, tuple(inside), tuple(held_out), distance))
        return sites

    def _checkpoint(self, number: int, progress: Progress) -> EncoderCheckpoint:
        return load_encoder(self._trained(self._experiment.protocol.encoder, number, progress))

    def _trained(self, name: str, number: int, progress: Progress) -> Path:
        """The file of an encoder."""
        protocol = self._experiment.protocol
        told = protocol.encoder_options
        settings = Settings(
            encoder=name,
            encoder_steps=protocol.encoder_steps,
            encoder_weights=told.weights,
            encoder_slices=told.slices,
            encoder_pooling=told.pooling,
            seed=number,
            labels=self._experiment.protocol.labels,
        )
        pairs = self._source_labels() if "labels" in learns_from(name) else []
        workspace = self._workspace
        if pairs:  # other labels, another encoder
            workspace = Workspace(workspace.root / content_of({pair["image"]: pair for pair in pairs}))
        pictures = protocol.preset.spatial_dims == 2
        patients = self._patients() if pictures and "scans" in learns_from(name) else {}
        if len(set(patients.values())) < len(patients):  # other patients, another encoder
            workspace = Workspace(workspace.root / _digest(patients))
        path = workspace.encoder(settings, protocol.preset)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(workspace.lock):
            if not path.exists():
                train(self._source or self._pool, settings, protocol.preset, workspace, progress, pairs, patients)
        return path

    def _patients(self) -> dict[str, str]:
        """image -> patient, of what an encoder learns from."""
        domain = self._experiment.source if self._source else self._experiment.target
        assert domain is not None, "what is learnt from is a part of a domain"
        return {image: domain.patients[image] for image in self._source or self._pool}

    def _source_labels(self) -> list[dict[str, str]]:
        """The source's labelled images; those of the target are no business of an encoder."""
        source = self._experiment.source
        if source is None or not self._source:
            return []
        labels, of_target = self._experiment.protocol.labels, {path.resolve() for path in self._pool.values()}
        refuse_other_names(source, labels, self._experiment.target)
        return [
            source.labelled(image, labels)
            for image, path in self._source.items()
            if image in source.labels and path.resolve() not in of_target
        ]

    def _test_vectors(self, cases: Sequence[str], embedded: Embedded) -> NDArray[np.float64]:
        checkpoint = next(
            checkpoint
            for number in range(self._experiment.protocol.encoders)
            if (checkpoint := self._checkpoint(number, lambda stage, done, total: None)).id == embedded.encoder
        )
        images = {case: self._experiment.test.images[case] for case in cases}
        embed_pool(images, _TEST, checkpoint, self._store)
        _, vectors = self._store.vectors(_TEST, checkpoint.id, images)
        _, source = self._store.vectors(SOURCE, checkpoint.id)
        return standardise(vectors, source)[0]


def _digest(patients: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(patients.items())).encode()).hexdigest()[:10]


def _learned_from(experiment: Experiment) -> Mapping[str, Path]:
    """The source's pool; empty if there is no source or it is the target itself."""
    source = experiment.source
    if source is not None and source.root.resolve() == experiment.target.root.resolve():
        return {}
    return experiment.source_pool()
