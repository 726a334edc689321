"""The worklist of a pool: which image is annotated when, why, and whether the order still holds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.embedding.standardise import standardise
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore
from xssr_strategy.selection import XSSR, Rule, Selection, advise, coverage_curve
from xssr_strategy.settings import Settings

_RANKED = 1000  # picks ranked ahead at most; the ranking is renewed long before they are used up
_SLACK = 10  # picks that may be out with annotators before labels count as out of order
_NOTE = "ranking"
_TERMS = "terms"


@dataclass(frozen=True)
class RankedImage:
    """One pick of the worklist; the terms are in [0, 1], as they entered the score."""

    image: str
    rank: int
    score: float
    density: float
    novelty: float
    diversity: float


@dataclass(frozen=True)
class Ranking:
    """The worklist of a pool.

    Attributes:
        key: digest of all that the ranking was made from, the labels aside.
        encoder: id of the encoder checkpoint.
        picks: in pick order.
        labelled: images that had a label when the ranking was made.
        pool: images in the pool.
        budget: further picks at which alpha was calibrated.
        novelty: False without a source: novelty is off.
        alpha, calibration: as in ``Selection``.
        coverage: mean coverage after each of ``picks``.
        worthwhile, advice: as in ``Advice``.
        covered: mean and largest distance of the pool to what is taken, before each of ``picks``; infinite before the
            first if nothing was labelled. Empty in a ranking of an earlier version.
    """

    key: str
    encoder: str
    picks: tuple[RankedImage, ...]
    labelled: frozenset[str]
    pool: int
    budget: int
    novelty: bool
    alpha: float
    calibration: tuple[tuple[float, float, float], ...]
    coverage: tuple[float, ...]
    worthwhile: int | None
    advice: str
    covered: tuple[tuple[float, float], ...] = ()


def read_ranking(store: EmbeddingStore) -> Ranking | None:
    """The ranking last written, or None; one of an earlier version counts as none."""
    note = store.read_note(_NOTE)
    if note is None or {*note, "covered"} != {field.name for field in fields(Ranking)}:
        return None
    values = {
        "picks": tuple(RankedImage(**pick) for pick in note["picks"]),
        "labelled": frozenset(note["labelled"]),
        "calibration": tuple(tuple(point) for point in note["calibration"]),
        "coverage": tuple(note["coverage"]),
        "covered": tuple((mean, largest) for mean, largest in note.get("covered", ())),
    }
    return Ranking(**{**note, **values})


def ranking_mark(store: EmbeddingStore) -> str:
    """A value that changes whenever the ranking is written."""
    return store.mark(_NOTE)


def write_ranking(store: EmbeddingStore, ranking: Ranking) -> None:
    """Keep the ranking in place of the one before."""
    store.note(_NOTE, {**asdict(ranking), "labelled": sorted(ranking.labelled)})


def follows(ranking: Ranking, known: Set[str], labelled: Set[str]) -> bool:
    """Whether labels have come in the order of the ranking, but for a few picks that are out with annotators.

    While they have, and :func:`ranking_key` is the same, a fresh ranking would go on as this one does.

    Args:
        known: images of the pool that have a vector.
        labelled: images that are annotated.
    """
    done = known & labelled
    if not ranking.labelled <= done:
        return False
    new = done - ranking.labelled
    expected = {pick.image for pick in ranking.picks[: len(new) + _SLACK]}
    left = len(ranking.picks) - len(new)
    return new <= expected and (left > _SLACK or len(ranking.picks) + len(ranking.labelled) >= len(known))


def rank(
    encoder: str,
    target: Collection[str],
    labelled: Collection[str],
    settings: Settings,
    store: EmbeddingStore,
    picks_wanted: int | None = None,
    keep_terms: bool = False,
    patients: Mapping[str, str] | None = None,
) -> Ranking:
    """Rank the embedded images of ``target`` by XSSR; labelled ones count as picked already.

    Args:
        picks_wanted: further picks at which alpha is calibrated; by default what is left of the budget.
        keep_terms: write density and novelty to the store for :func:`read_terms`; the ranking is then to be written.
        patients: image -> patient, of every image: no second image of a patient before every patient has been
            considered. None: images count by themselves.
    """
    key = ranking_key(encoder, target, settings, store, patients)
    images, standardised, reference = standardised_vectors(encoder, target, store)
    done = set(labelled) & set(images)
    rows = [row for row, image in enumerate(images) if image in done]
    budget = picks_wanted or max(1, settings.budget.of(len(target)) - len(rows))
    count = min(len(images) - len(rows), max(_RANKED, 2 * budget))
    empty = Ranking(
        key=key,
        encoder=encoder,
        picks=(),
        labelled=frozenset(done),
        pool=len(target),
        budget=budget,
        novelty=reference is not None,
        alpha=0.0,
        calibration=(),
        coverage=(),
        worthwhile=None,
        advice=f"All {len(target)} images are labelled.",
    )
    if not count:
        return empty
    xssr = XSSR(settings.alpha, settings.combination, calibration_budget=budget)
    rule = xssr.terms(standardised, reference)
    groups = None if patients is None else [patients[image] for image in images]
    if keep_terms:
        _write_terms(store, PoolTerms(key, images, rule, groups))
    selection = xssr.select(standardised, count, reference, rows, rule, groups)
    assert selection.alpha is not None
    coverage, covered = _coverage(standardised, rows, selection.indices.tolist())
    alone = float(coverage_curve(standardised, [_typical(rule)])[0][0])
    advice = advise(coverage, min(budget, count), len(target), alone, len(rows))
    return replace(
        empty,
        picks=_picks(selection, images, len(rows)),
        alpha=selection.alpha,
        calibration=selection.calibration,
        coverage=coverage,
        covered=covered,
        worthwhile=advice.worthwhile,
        advice=advice.text,
    )


def _typical(rule: Rule) -> int:
    """The row where the pool is densest."""
    return 0 if rule.density is None else int(np.argmax(rule.density))


def _coverage(
    vectors: NDArray[np.float64], labelled: Sequence[int], picks: Sequence[int]
) -> tuple[tuple[float, ...], tuple[tuple[float, float], ...]]:
    """Mean distance of the pool to what is taken after each pick; mean and largest before each."""
    mean, largest = ([math.inf, *curve.tolist()] for curve in coverage_curve(vectors, [*labelled, *picks]))
    before = slice(len(labelled), -1)
    return tuple(mean[len(labelled) + 1 :]), tuple(zip(mean[before], largest[before], strict=True))


def _picks(selection: Selection, images: Sequence[str], labelled: int) -> tuple[RankedImage, ...]:
    """The picks with their terms; ranks go on after those that are labelled."""
    terms = selection.terms
    return tuple(
        RankedImage(
            image=images[row],
            rank=labelled + place + 1,
            score=float(selection.scores[place]),
            density=float(terms["density"][place]),
            novelty=float(terms["novelty"][place]),
            diversity=float(terms["diversity"][place]),
        )
        for place, row in enumerate(selection.indices)
    )


@dataclass(frozen=True)
class PoolTerms:
    """What a ranking found out about every image of its pool, kept so that the server need not find it again.

    Attributes:
        key: of the ranking.
        images: in the order of the terms.
        rule: density and novelty.
        patients: of the images, in their order; None if images count by themselves.
    """

    key: str
    images: list[str]
    rule: Rule
    patients: list[str] | None = None


def read_terms(store: EmbeddingStore) -> PoolTerms | None:
    """The terms of the ranking last written, or None."""
    note = store.read_note(_TERMS)
    if note is None:
        return None
    density, novelty = (None if note[name] is None else np.asarray(note[name]) for name in ("density", "novelty"))
    rule = Rule(density, novelty, note["diversity"], note["combination"])
    return PoolTerms(note["key"], note["images"], rule, note.get("patients"))


def _write_terms(store: EmbeddingStore, terms: PoolTerms) -> None:
    rule = asdict(terms.rule)
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in rule.items()}
    told = {} if terms.patients is None else {"patients": terms.patients}
    store.note(_TERMS, {"key": terms.key, "images": terms.images, **plain, **told})


def standardised_vectors(
    encoder: str, target: Collection[str], store: EmbeddingStore
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64] | None]:
    """The embedded images of ``target``, sorted, their vectors (N, D), and those of the source (M, D), if any."""
    images, vectors = store.vectors(TARGET, encoder, target)
    _, known = store.vectors(SOURCE, encoder)
    return images, *standardise(vectors, known if len(known) else None)


def reason(pick: RankedImage, ranking: Ranking, of_patient: str = "") -> str:
    """One plain sentence for the annotator: why this image.

    The words' bounds are our choice; diversity's are lower because its scale ends at the outliers
    that density keeps out.

    Args:
        of_patient: what there is to say of its patient (:mod:`xssr_strategy.pool.patients`), if anything.
    """
    kinds = ("rare in the pool", "fairly typical of the pool", "typical of many images in the pool")
    parts = [_grade(pick.density, (1 / 3, 2 / 3), kinds)]
    if ranking.novelty:
        familiar = _grade(pick.novelty, (1 / 3, 2 / 3), ("familiar from", "partly new to", "new to"))
        parts.append(f"{familiar} the source domain")
    if pick.rank > 1:
        apart = _grade(pick.diversity, (0.15, 0.35), ("near", "apart from", "far from"))
        parts.append(f"{apart} what was picked before")
    else:
        parts.append("the starting point")
    if of_patient:
        parts.append(of_patient)
    return f"Pick {pick.rank} of {ranking.pool}: {', '.join(parts[:-1])} and {parts[-1]}."


def _grade(value: float, bounds: tuple[float, float], words: tuple[str, str, str]) -> str:
    return words[sum(value >= bound for bound in bounds)]


def ranking_key(
    encoder: str,
    target: Collection[str],
    settings: Settings,
    store: EmbeddingStore,
    patients: Mapping[str, str] | None = None,
) -> str:
    """Digest of what a ranking depends on, labels aside: encoder, rule, state of every image, and patients, if any."""
    wanted = set(target)
    states = sorted(item for item in store.fingerprints(TARGET, encoder).items() if item[0] in wanted)
    sources = sorted(store.fingerprints(SOURCE, encoder).items())
    rule = (settings.alpha, settings.combination, str(settings.budget))
    of_whom = () if patients is None else (sorted((image, patients[image]) for image in wanted),)
    return hashlib.sha256(repr((encoder, rule, states, sources, *of_whom)).encode()).hexdigest()
