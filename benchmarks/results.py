"""A simulation's tables and verdicts in Markdown, as docs/RESULTS.md holds them.

python -m benchmarks.results simulations/montgomery-shenzhen
python -m benchmarks.results simulations/few-labels --curves docs/images/few-labels.svg
python -m benchmarks.results simulations/prostate-B --sites
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xssr_strategy.simulation.figures import learning_curves
from xssr_strategy.simulation.report_numbers import luck_words, needed_rows, numbers_of, rank_rows, result_rows
from xssr_strategy.simulation.results import ExperimentInfo, JobResult, Site, read_experiment_info, read_results
from xssr_strategy.simulation.scores import METRICS, Scores, by_method, gather
from xssr_strategy.simulation.statistics import SHARES, compare, verdicts

COLUMNS = (
    "strategy",
    "training",
    "labels",
    "Dice",
    "HD95",
    "% of full",
    "points above random [95 %]",
    "seeds",
    "draws",
)
NEEDED = ("strategy", *(f"labels for {share:g} % of full" for share in SHARES))
RANKS = (
    "strategy",
    "labels",
    "judged by",
    "Dice",
    "percentile among random sets",
    "mean of these",
    "worst",
    "best",
    "random sets",
)
SITES = (
    "strategy",
    "labels",
    "test cases of",
    "training",
    "Dice",
    "points above the first training [95 %]",
    "HD95",
    "ASD",
)


def main(out: Path, curves: Path | None = None, sites: bool = False) -> None:
    """Print the command, the table, the verdicts in Dice, and what the trainings took; draw the curves."""
    facts, results = read_experiment_info(out), read_results(out)
    print(f"    {facts.command}\n")
    methods = [numbers_of(facts, some) for some in by_method(results, facts.methods).values()]
    table(COLUMNS, [row for numbers in methods for row in result_rows(numbers)])
    if sites:
        table(SITES, site_rows(facts, results))
    compared = verdicts(facts, results)
    for one in compared:
        if one.metric == "dice" and (one.strategy == facts.default or one.method != one.against_method):
            print(f"- {one.sentence}")
    for numbers in methods:
        if words := luck_words(numbers):
            print(
                f"\n{numbers.method}, random draws that pass for better or worse than the others: {'; '.join(words)}."
            )
        for columns, rows in ((NEEDED, needed_rows(numbers)), (RANKS, rank_rows(numbers))):
            if rows:
                print(f"\n{numbers.method}:\n")
                table(columns, rows)
    for name, some in by_method(results, facts.methods).items():
        seconds = {result.training: result.seconds for result in some if result.seconds}
        hours = sum(seconds.values()) / 3600
        print(f"{name}: {len(some)} jobs, {len(seconds)} trainings, {hours:.1f} hours of them one by one.")
    lead = methods[0].lead
    if curves is not None and lead is not None:
        curves.write_text(learning_curves(methods[0].dice, lead) or "")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print it."""
    for row in (columns, ("---", *["---:"] * (len(columns) - 1)), *rows):
        print("| " + " | ".join(row) + " |")
    print()


def site_rows(facts: ExperimentInfo, results: Sequence[JobResult]) -> list[list[str]]:
    """For each strategy and budget every site with every training method, and its gain on the first."""
    own_results = [*by_method(results, facts.methods).values()]
    dice, hd95 = ([gather(some, metric, facts.patients) for some in own_results] for metric in METRICS)
    # ASD is gathered in the place of HD95.
    asd = [gather([replace(one, hd95=one.asd or one.hd95) for one in some], "hd95") for some in own_results]
    rows = []
    for key in sorted({key for one in dice for key in one}):
        for site in facts.sites:
            first: Scores | None = None
            for number in (number for number in range(len(dice)) if key in dice[number] and site.test):
                own = _at(dice[number][key], site)
                gap = compare(own, first, "") if first is not None else None
                first = first or own
                far = [f"{_at(one[number][key], site).mean:.1f}" for one in (hd95, asd)]
                rows.append([
                    key[0],
                    str(key[1]),
                    site.name,
                    own.method,
                    f"{own.mean:.3f}" + ("" if own.spread is None else f" ± {own.spread:.3f}"),
                    "" if gap is None else "{} [{}, {}]".format(*gap.texts),
                    *far,
                ])  # fmt: skip
    return rows


def _at(scores: Scores, site: Site) -> Scores:
    """Of the site's cases alone."""
    places = [place for place, case in enumerate(scores.cases) if case in set(site.test)]
    return replace(scores, cases=tuple(scores.cases[place] for place in places), values=scores.values[:, :, places])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of a simulation")
    parser.add_argument("--curves", type=Path, help="SVG file for the learning curves")
    parser.add_argument("--sites", action="store_true", help="a row for each site of the test cases, too")
    main(**vars(parser.parse_args()))
