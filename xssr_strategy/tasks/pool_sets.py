"""Sets of images that a click asks for: kept while nothing changes, and never walked through for one answer.

What is closed to an annotator is a small part of a pool, so sets of it are made anew for each click; the pool is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass


@dataclass(frozen=True)
class PoolSets:
    """A pool and what the scoring has made of it.

    Attributes:
        images: all but the skipped ones.
        embedded: those of them with a vector of the present encoder.
        failed: those of them that were set aside.
        whole: whether every image is one or the other.
    """

    images: frozenset[str]
    embedded: frozenset[str]
    failed: frozenset[str]
    whole: bool

    @classmethod
    def of(cls, images: frozenset[str], skipped: Set[str], embedded: frozenset[str], failed: Set[str]) -> PoolSets:
        """The sets of a datastore's images; the others may hold images that are gone."""
        pool = frozenset(images - skipped)
        known, aside = embedded & pool, frozenset(failed & pool)
        return cls(pool, known, aside, len(known | aside) == len(pool))


NO_SETS = PoolSets(frozenset(), frozenset(), frozenset(), True)


class OpenImages(Set[str]):
    """Images that may be handed out: a large set but for a small one.

    Args:
        images: of the datastore.
        closed: those that are labelled, skipped, set aside or with annotators; it may hold others, too.

    Attributes:
        images, closed: the same.

    >>> from xssr_strategy.tasks.pool_sets import OpenImages
    >>> waiting = OpenImages(frozenset("abcd"), {"b", "gone"})
    >>> len(waiting), sorted(waiting), "b" in waiting, "gone" in waiting
    (3, ['a', 'c', 'd'], False, False)
    >>> sorted(waiting.without(["d"]))
    ['a', 'c']
    """

    def __init__(self, images: frozenset[str], closed: Set[str]) -> None:
        self.images, self.closed = images, closed

    @classmethod
    def _from_iterable(cls, images: Iterable[str]) -> frozenset[str]:  # type: ignore[override]
        return frozenset(images)  # what & and - give

    def __contains__(self, image: object) -> bool:
        return image in self.images and image not in self.closed

    def __len__(self) -> int:
        return len(self.images) - sum(image in self.images for image in self.closed)

    def __iter__(self) -> Iterator[str]:
        return (image for image in self.images if image not in self.closed)

    def without(self, images: Iterable[str]) -> OpenImages:
        """As it is, but for these."""
        return OpenImages(self.images, {*self.closed, *images})
