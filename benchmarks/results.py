"""A simulation's table and verdicts in Markdown, as docs/RESULTS.md holds them.

python -m benchmarks.results simulations/montgomery-shenzhen
python -m benchmarks.results simulations/few-labels --curves docs/images/few-labels.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from xssr_strategy.simulation.figures import learning_curves
from xssr_strategy.simulation.report_numbers import luck_words, needed_words, numbers_of, result_rows
from xssr_strategy.simulation.results import read_experiment_info, read_results

COLUMNS = ("strategy", "labels", "Dice", "HD95", "% of full", "points above random [95 %]", "seeds", "draws")


def main(out: Path, curves: Path | None = None) -> None:
    """Print the command, the table, the default's verdicts in Dice, and what the trainings took; draw the curves."""
    facts, results = read_experiment_info(out), read_results(out)
    numbers = numbers_of(facts, results)
    print(f"    {facts.command}\n")
    for row in (COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *result_rows(numbers)):
        print("| " + " | ".join(row) + " |")
    print()
    for one in numbers.comparisons:
        if one.strategy == numbers.lead and one.metric == "dice":
            print(f"- {one.sentence}")
    print("\nDraws of random that pass for better or worse than the others: " + "; ".join(luck_words(numbers)) + ".")
    print("Labels for 99 % of full data: " + "; ".join(needed_words(numbers)) + ".")
    seconds = {result.training: result.seconds for result in results if result.seconds}
    print(
        f"{len(results)} jobs, {len(seconds)} trainings, {sum(seconds.values()) / 3600:.1f} hours of them one by one."
    )
    if curves is not None:
        curves.write_text(learning_curves(numbers.dice, numbers.lead) or "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of a simulation")
    parser.add_argument("--curves", type=Path, help="SVG file for the learning curves")
    main(**vars(parser.parse_args()))
