from __future__ import annotations

import logging
from dataclasses import replace

from tests.support.synthetic import result
from xssr_strategy.simulation.remarks import MOST, remarks, trainings_by_remark

logger = logging.getLogger("xssr_strategy.anywhere")


def test_each_warning_is_kept_once_and_of_very_many_their_number() -> None:
    with remarks() as said:
        for number in range(MOST + 2):
            logger.warning("bad: %d", number)
            logger.warning("bad: %d", number)
        logger.info("good")
        logging.getLogger("another").warning("not ours")
    logger.warning("after it")
    assert said == [*(f"bad: {number}" for number in range(MOST)), "And 2 more warnings."]


def test_remarks_count_by_training_and_not_by_job() -> None:
    one = replace(result("xssr", [[0.5]], 4), remarks=("bad", "worse"))
    shared = replace(one, job=replace(one.job, strategy="kmeans"))
    other = replace(one, job=replace(one.job, seed=1), training="another", remarks=("worse",))
    found = trainings_by_remark([one, shared, other])
    assert list(found) == ["worse", "bad"]
    assert [count for count, _ in found.values()] == [2, 1]
