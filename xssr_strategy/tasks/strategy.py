"""Strategies: what MONAI Label asks for the next sample."""

from __future__ import annotations

import logging
import random
from abc import abstractmethod
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from xssr_strategy.datastores.image_sets import images_of
from xssr_strategy.pool.ranking import Ranking, reason
from xssr_strategy.selection import Selector
from xssr_strategy.tasks.live_selection import LiveSelection
from xssr_strategy.tasks.pool_sets import OpenImages
from xssr_strategy.tasks.project import Project

logger = logging.getLogger(__name__)

_CURVE = 50  # points of the coverage curve in an answer, at most


class PoolStrategy(Strategy):
    """What the strategies share: who may get which image, and the answer while none is ranked."""

    def __init__(self, description: str, project: Project) -> None:
        super().__init__(description)
        self._project = project

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """The next image for the client that asks, leased to it; None if nothing is left for it.

        Args:
            request: ``client_id`` says who asks. ``skip`` names an image to leave out from now on, for
                ``skip_reason``.
            datastore: MONAI Label's.

        Returns:
            ``id``, ``score``, ``reason``, ``embedded``, ``pool``, ``leased_until`` (seconds since the epoch), and what
            else the strategy says. An image goes to one client until it is labelled or skipped or its lease ends. A
            client that has passed over images gets these again once nothing else is left.

        Raises:
            HTTPException: there is no image of the name to skip.
        """
        leases, client = self._project.leases, str(request.get("client_id") or "")
        if request.get("skip"):
            self._skip(str(request["skip"]), client, str(request.get("skip_reason") or "no reason given"), datastore)
        waiting, out = self._project.waiting(datastore), leases.out()
        # Another server on this folder may have handed out an image that is not listed here yet.
        leases.end([image for image in out if image in waiting.images and image not in waiting])
        free = waiting.without(out)
        while free:
            answer = self.choose(free, datastore)
            image = answer["id"]
            if self._project.still_waits(image, datastore):
                ends = leases.take(image, client)
                if ends is not None:
                    self._expect_next(free.without([image]))
                    return {**answer, "leased_until": ends}
            free = free.without([image])  # labelled or deleted a moment ago, or another server was faster
        with_annotators = {image: lease for image, lease in out.items() if image in waiting}
        for image in [image for image, lease in with_annotators.items() if lease.client == client]:
            if not self._project.still_waits(image, datastore):
                leases.end([image])
            elif (ends := leases.renew(image, client)) is not None:
                mine = waiting.without(waiting.images - {image})
                return {**self.choose(mine, datastore), "leased_until": ends}
        self._tell_why_nothing_is_left(len(with_annotators))
        return None

    @abstractmethod
    def choose(self, waiting: OpenImages, datastore: Datastore) -> dict[str, Any]:
        """The answer about one of these images, of which there is at least one."""

    def _expect_next(self, waiting: OpenImages) -> None:
        """Tell the project which of these images is likely to be next, if the strategy knows."""

    def _skip(self, image: str, client: str, reason: str, datastore: Datastore) -> None:
        if image not in images_of(datastore):
            raise HTTPException(404, f"skip '{image}': there is no such image; name the id of one that was handed out.")
        self._project.leases.skip(image, client, reason)
        logger.info("Skipped: %s: %s", image, reason)

    def _tell_why_nothing_is_left(self, leased: int) -> None:
        if leased:
            logger.info("Nothing left to hand out: the last %d images are with other annotators.", leased)
            return
        failed, skipped = len(self._project.failed), len(self._project.leases.skipped())
        aside = [f"{failed} cannot be read and are set aside"] if failed else []
        aside += [f"{skipped} were skipped"] if skipped else []
        logger.info("Nothing left to annotate: all images are labelled%s.", "".join(f"; {part}" for part in aside))

    def at_random(self, waiting: OpenImages, datastore: Datastore, why: str = "") -> dict[str, Any]:
        """An answer that tells nothing but the reason why no rule has picked."""
        state = self._project.state(datastore)
        image = random.choice(sorted(waiting))  # noqa: S311 - no secret
        return {
            "id": image,
            "score": 0.0,
            "rank": None,
            "density": None,
            "novelty": None,
            "diversity": None,
            "alpha": None,
            "reason": f"Picked at random, because {why}." if why else "Picked at random.",
            "coverage": None,
            "advice": None,
            "embedded": state.embedded,
            "pool": state.pool,
        }

    def _not_ranked_yet(self, datastore: Datastore) -> str:
        state = self._project.state(datastore)
        if state.embedded:
            return f"the pool is not ranked yet: {state.embedded} of {state.pool} images are embedded"
        if state.error:
            return f"the scoring stopped: {state.error.rstrip('.')}"
        if state.progress:
            return f"no image is embedded yet: {state.state}, {state.progress.replace('/', ' of ')}"
        return f"no image of {state.pool} is embedded yet: the scoring has not started"


class XSSRStrategy(PoolStrategy):
    """The image that XSSR picks next, given all labelled ones; density and novelty were found beforehand."""

    def __init__(self, project: Project) -> None:
        super().__init__("XSSR: representative images by density, novelty and diversity", project)
        self._live = LiveSelection(project.store)

    def choose(self, waiting: OpenImages, datastore: Datastore) -> dict[str, Any]:
        """``id``, ``score``, ``rank``, terms, ``alpha``, ``reason``, ``coverage``, ``advice``, ``embedded``, ``pool``.

        ``coverage`` has ``mean`` and ``max`` by the images that are not waiting (None while all are), and ``curve``:
        pairs of number of labelled images and mean coverage if the worklist is followed.
        """
        ranking = self._project.ranking
        if ranking is None:
            return self.at_random(waiting, datastore, self._not_ranked_yet(datastore))
        live = self._live.next(ranking, waiting)
        pick = None if live is None else live.image
        if pick is None:
            pick = next((pick for pick in ranking.picks if pick.image in waiting), None)
        if pick is None:
            return self.at_random(waiting, datastore, "the images left are new and not ranked yet")
        state = self._project.state(datastore)
        return {
            "id": pick.image,
            "score": pick.score,
            "rank": pick.rank,
            "density": pick.density,
            "novelty": pick.novelty,
            "diversity": pick.diversity,
            "alpha": ranking.alpha,
            "reason": reason(pick, ranking, "" if live is None else live.of_patient),
            "coverage": _coverage(ranking, None if live is None else live.coverage),
            "advice": ranking.advice,
            "embedded": state.embedded,
            "pool": state.pool,
        }

    def _expect_next(self, waiting: OpenImages) -> None:
        ranking = self._project.ranking
        following = None if ranking is None else next((pick for pick in ranking.picks if pick.image in waiting), None)
        if following is not None:
            self._project.expect(following.image)


def _coverage(ranking: Ranking, covered: tuple[float, float] | None) -> dict[str, Any]:
    mean, largest = covered or (None, None)
    shown = ranking.coverage[: max(2 * ranking.budget, _CURVE)]
    step = max(1, -(-len(shown) // _CURVE))
    first = len(ranking.labelled) + 1
    curve = [[first + place, shown[place]] for place in range(0, len(shown), step)]
    return {"mean": mean, "max": largest, "curve": curve}


class SelectorStrategy(PoolStrategy):
    """The one image that a selector picks, given all labelled ones."""

    def __init__(self, description: str, project: Project, selector: Selector) -> None:
        super().__init__(description, project)
        self._selector = selector

    def choose(self, waiting: OpenImages, datastore: Datastore) -> dict[str, Any]:
        """``id``, ``score``, ``reason``, ``embedded``, ``pool``."""
        images, vectors, source = self._project.vectors()
        closed = [row for row, image in enumerate(images) if image not in waiting]
        if len(closed) == len(images):
            return self.at_random(waiting, datastore, self._not_ranked_yet(datastore))
        selection = self._selector.select(vectors, 1, source, closed)
        state = self._project.state(datastore)
        return {
            "id": images[int(selection.indices[0])],
            "score": float(selection.scores[0]),
            "reason": f"Picked by {type(self._selector).__name__}, given {len(closed)} images already labelled.",
            "embedded": state.embedded,
            "pool": state.pool,
        }


class RandomStrategy(PoolStrategy):
    """Any image."""

    def __init__(self, project: Project) -> None:
        super().__init__("Random image", project)

    def choose(self, waiting: OpenImages, datastore: Datastore) -> dict[str, Any]:
        """``id``, ``score``, ``reason``, ``embedded``, ``pool``."""
        return self.at_random(waiting, datastore)
