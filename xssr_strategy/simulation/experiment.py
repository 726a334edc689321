"""What a simulation compares: the domains, the settings that decide a result, and the jobs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from xssr_strategy.embedding.encoder import EncoderOptions
from xssr_strategy.embedding.foundation.weights import digest_of
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset
from xssr_strategy.labels.records import FileNumbers
from xssr_strategy.segmentation.data import UNLABELLED
from xssr_strategy.segmentation.methods.catalogue import SUPERVISED
from xssr_strategy.segmentation.methods.loaders import ORDER_VERSION
from xssr_strategy.segmentation.methods.recipe import RECIPE, Recipe
from xssr_strategy.selection.budget import Budget
from xssr_strategy.selection.catalogue import MODEL_BASED, RANDOM
from xssr_strategy.simulation.domains import Domain, refuse_other_names
from xssr_strategy.simulation.results import Job
from xssr_strategy.simulation.strategies import FULL, OF_SOURCE, SOURCE_NETWORK, SOURCE_ONLY


@dataclass(frozen=True)
class Protocol:
    """The settings that decide a result, whatever is compared.

    Attributes:
        preset: kind of image, with the sides of what encoder and U-Net see.
        labels: names of the labels, without the background.
        steps: optimisation steps of a training; the same for every strategy.
        full_steps: of the training on the whole pool.
        encoder, encoder_steps: as the server's settings of these names.
        encoders: encoders trained, with seeds 0, 1, ...; the jobs of seed s use number s modulo this.
        share: of the pool that a seed sees, in (0, 1]. Below 1 every seed has a part of its own, the same for all
            strategies, so that the spread covers which images there are to pick from.
        threads: processor threads of a training. Sums in another order round otherwise, and training amplifies it.
        recipe: of a training; the server's trainer has the default.
        rounds: labels that come in each round, after which a network is trained; empty if every budget is a job alone.
        encoder_options: what a foundation encoder is told.
        from_labels: labels of the source that ``source-only`` has, drawn with the seed; None for all.
        unlabelled: images that a training may learn from without a label, drawn with the seed.
        min_spacing: 3-D: least side of a voxel in mm; finer images are resampled for the U-Net.
        refine_by: folder of SAM 2's weights, by which masks are refined and judged again, and the side in pixels of
            what it sees, 0 for that of its training; None for none.
    """

    preset: Preset
    labels: tuple[str, ...]
    steps: int
    full_steps: int
    encoder: str
    encoder_steps: int
    encoders: int
    share: float
    threads: int
    recipe: Recipe = RECIPE
    rounds: tuple[int, ...] = ()
    encoder_options: EncoderOptions = field(default_factory=EncoderOptions)
    from_labels: int | None = None
    unlabelled: int = UNLABELLED
    min_spacing: float = 0.0
    refine_by: tuple[Path, int] | None = None

    def seen(self, pool: int) -> int:
        """Images that a seed sees of a pool."""
        return max(1, int(self.share * pool))

    def described(self) -> dict[str, Any]:
        """As JSON knows it, so that it can be compared with what was written."""
        values = asdict(self)
        values["preset"] = {key: list(v) if isinstance(v, tuple) else v for key, v in values["preset"].items()}
        rounds = values.pop("rounds")  # left out where there are none, as before there were any
        told = values.pop("encoder_options")  # left out where nothing was told, as before there were any
        if told["weights"] is not None:
            told["weights"] = digest_of(told["weights"])[:12]
        if refined := values.pop("refine_by"):
            values["refine_by"] = f"{digest_of(refined[0] / 'model.safetensors')[:12]} at {refined[1]}"
        defaults = {"from_labels": None, "unlabelled": UNLABELLED, "min_spacing": 0.0}
        for name, default in defaults.items():  # left out as before there were any
            if values[name] == default:
                del values[name]
        return {
            **values,
            "labels": list(self.labels),
            "order_version": ORDER_VERSION,
            **({"rounds": list(rounds)} if rounds else {}),
            **({"encoder_options": told} if self.encoder_options != EncoderOptions() else {}),
        }


@dataclass(frozen=True)
class Experiment:
    """A comparison of strategies.

    Attributes:
        target: the domain whose pool is picked from and whose labels play the annotator.
        source: the domain that the encoder learns from, or None.
        test: the domain whose held-out images are the test cases; often ``target`` itself.
        protocol: how every strategy is trained and judged.
        strategies: names, as ``parse_strategies`` gives them.
        budgets: numbers of labels, or percentages of the pool; with rounds, the labels after each.
        seeds: trainings of every strategy and budget, paired across strategies.
        draws: draws of ``random``, each trained with every seed.
        methods: names of training methods, each of which trains on the picks of every strategy.
    """

    target: Domain
    source: Domain | None
    test: Domain
    protocol: Protocol
    strategies: tuple[str, ...]
    budgets: tuple[Budget, ...]
    seeds: int
    draws: int
    methods: tuple[str, ...] = (SUPERVISED,)

    def check(self) -> None:
        """Refuse what cannot be run, before any work is done.

        Raises:
            UserError: no pool, a test case in the pool, a budget above the pool, a source of test cases alone, no
                source where one is needed, or no rounds.
        """
        if not self.target.pool:
            raise UserError(f"{self.target.option} {self.target.root}: all its images are test cases; hold out fewer.")
        held_out = self.held_out()
        for image in self.target.pool:
            if self.target.images[image].resolve() in held_out:
                raise UserError(
                    f"--test {self.test.root}: {image} is in the pool of --target too; name it in the test.txt of both."
                )
        self.check_budgets(len(self.target.pool))
        self.check_labels()
        learnt = self.source_pool()
        if self.source is not None and not learnt:
            raise UserError(
                f"--source {self.source.root}: all its images are test cases; name another or leave it out."
            )
        labelled = 0 if self.source is None else len(self.source.labels.keys() & learnt.keys())
        self._check_source_only(labelled)
        for name in self.strategies:
            if name in MODEL_BASED and not self.protocol.rounds:
                raise UserError(
                    f"--strategies {name}: asks the network of the round before; name rounds, such as --budget 5+5+5+7."
                )

    def _check_source_only(self, labelled: int) -> None:
        """Refuse strategies that need labels of the source which are not there.

        Args:
            labelled: images of the source that have a label and may be learnt from.

        Raises:
            UserError: there is one.
        """
        of_source = [name for name in OF_SOURCE if name in self.strategies]
        if of_source and not labelled:
            raise UserError(
                f"--strategies {of_source[0]}: needs the labels of a source; name a labelled one by --source."
            )
        if SOURCE_NETWORK in self.strategies and SOURCE_ONLY not in self.strategies:
            raise UserError(f"--strategies {SOURCE_NETWORK}: asks the network of source-only; name that, too.")
        wanted = self.protocol.from_labels
        if wanted is not None and not of_source:
            raise UserError(
                f"--from-labels {wanted}: is for the strategy source-only; name it or leave the option out."
            )
        if wanted is not None and wanted > labelled:
            raise UserError(f"--from-labels {wanted}: the source has only {labelled}; ask for that many or fewer.")

    def check_labels(self) -> None:
        """Refuse domains whose numbers would be taken for other labels than their folders say.

        Raises:
            UserError: there is one.
        """
        labels = self.protocol.labels
        refuse_other_names(self.target, labels, self.target)
        refuse_other_names(self.test, labels, self.target)
        if self.source is not None and set(OF_SOURCE) & set(self.strategies):
            refuse_other_names(self.source, labels, self.target)

    def held_out(self) -> frozenset[Path]:
        """Files of the test cases, links resolved: nothing may learn from them."""
        return frozenset(self.test.images[case].resolve() for case in self.test.test)

    def source_pool(self) -> dict[str, Path]:
        """id -> file of what may be learnt from the source: nothing held out there and no test case."""
        if self.source is None:
            return {}
        held_out = self.held_out()
        images = self.source.images
        return {image: images[image] for image in self.source.pool if images[image].resolve() not in held_out}

    def without_labels(self) -> Experiment:
        """The same for whoever selects: no place of any label."""
        source = None if self.source is None else _unlabelled(self.source)
        return replace(self, target=_unlabelled(self.target), source=source, test=_unlabelled(self.test))

    def without_target_labels(self) -> Experiment:
        """The same for whoever trains encoders, some of which learn from labels of the source."""
        return replace(self, target=_unlabelled(self.target), test=_unlabelled(self.test))

    def check_budgets(self, pool: int) -> None:
        """Refuse a budget above what a seed sees of a pool of this many readable images.

        Raises:
            UserError: there is one.
        """
        seen = self.protocol.seen(pool)
        for budget in self.budgets:
            if budget.count is not None and budget.count > seen:
                whose = "the pool has" if self.protocol.share == 1.0 else "a seed's part of the pool has"
                raise UserError(f"--budget {budget}: {whose} only {seen} readable images; ask for that many or fewer.")

    def jobs(self, pool: int) -> list[Job]:
        """Every job, seed by seed, so that a run that is stopped has compared what it has.

        Args:
            pool: images that a seed sees.
        """
        jobs: dict[Job, None] = {}  # 5% and 22 may be the same
        for seed, strategy in itertools.product(range(self.seeds), self.strategies):
            budgets = [budget.of(pool) for budget in self.budgets]
            if strategy in (FULL, *OF_SOURCE):
                budgets = [pool if strategy == FULL else 0]
            draws = range(self.draws if strategy == RANDOM else 1)
            for budget, draw, method in itertools.product(budgets, draws, self.methods):
                jobs[Job(strategy, budget, seed, draw, method)] = None
        return list(jobs)

    def round_before(self, job: Job) -> Job | None:
        """The job whose labels this one adds to; None without rounds or in the first."""
        return self._round(job, -1)

    def round_after(self, job: Job) -> Job | None:
        """The job that adds to the labels of this one; None without rounds or after the last."""
        return self._round(job, 1)

    def progress(self, job: Job) -> float:
        """How far the rounds of a job have come: 0 in the second, the first that asks a network, 1 in the last."""
        counts = list(itertools.accumulate(self.protocol.rounds))
        return (counts.index(job.budget) - 1) / max(1, len(counts) - 2) if len(counts) > 2 else 1.0

    def _round(self, job: Job, step: int) -> Job | None:
        if not self.protocol.rounds or job.strategy in (FULL, *OF_SOURCE):
            return None
        counts = list(itertools.accumulate(self.protocol.rounds))
        place = counts.index(job.budget) + step
        return replace(job, budget=counts[place]) if 0 <= place < len(counts) else None


def cases_of(domain: Domain, labels: Sequence[str] = ()) -> Mapping[str, dict[str, str]]:
    """id -> every held-out image with its label, as ``labelled_pair`` makes it.

    Args:
        labels: names of the labels of the training.
    """
    return {case: domain.labelled(case, labels) for case in sorted(domain.test)}


def _unlabelled(domain: Domain) -> Domain:
    return replace(domain, labels={}, label_places={}, numbers=FileNumbers())


def workspace_of(out: Path) -> Path:
    """Where the encoders and vectors of a simulation are kept, if nothing else is asked for."""
    return out / "embedding"
