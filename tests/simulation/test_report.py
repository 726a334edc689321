"""The report holds what a reader needs, fetches nothing, and trusts no name."""

from __future__ import annotations

import base64
import csv
import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.synthetic import POOL, facts, result, write_experiment
from xssr_strategy.errors import UserError
from xssr_strategy.simulation.report import write_report
from xssr_strategy.simulation.report_numbers import luck_words, numbers_of
from xssr_strategy.simulation.report_pictures import PICKS
from xssr_strategy.simulation.results import (
    Site,
    read_experiment_info,
    read_results,
    write_experiment_info,
    write_result,
)
from xssr_strategy.simulation.statistics import verdicts

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """A page that is well nested, its text, and the attributes of every element."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.source = file.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert self._open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += f" {data} "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def ids(self) -> set[str | None]:
        return {attributes["id"] for _, attributes in self.elements if "id" in attributes}

    @property
    def pictures(self) -> list[str]:
        return [str(attributes["src"]) for attributes in self.all("img")]

    @property
    def figures(self) -> list[str]:
        """The SVG texts."""
        start = "data:image/svg+xml;base64,"
        found = [source for source in self.pictures if source.startswith(start)]
        return [base64.b64decode(source.removeprefix(start)).decode() for source in found]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    write_experiment(out)
    write_report(out)
    return out


@pytest.fixture(scope="module")
def page(whole: Path) -> Page:
    return Page(whole / "report.html")


def test_all_parts_are_there_in_their_order(page: Page) -> None:
    parts = [
        "answer",
        "curves",
        "results",
        "verdicts",
        "random-sets",
        "differences",
        "calibration",
        "picks",
        "worst",
        "sites",
    ]
    found = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert found == [*parts, "small-print"]
    assert "hospital A → hospital B" in page.text
    assert "not complete" not in page.text


def test_every_verdict_is_told(whole: Path, page: Page) -> None:
    found = verdicts(read_experiment_info(whole), read_results(whole))
    assert len(found) == 2 * (2 * 3 + 3)  # metrics, strategies and budgets to random, and xssr to coreset
    for comparison in found:
        assert comparison.sentence in page.text


def test_the_short_answer_comes_first(page: Page) -> None:
    start = page.text[: page.text.index("What labels are worth")]
    assert "xssr beside random picks" in start
    assert "Share of full data" in start
    assert "Labels for 99 % of full data" in start
    assert start.count("xssr with") == 3
    assert "coreset with" not in start


def test_the_table_has_a_row_for_every_strategy_and_budget(page: Page) -> None:
    table = page.source[page.source.index('<table class="results">') : page.source.index("</table>")]
    assert table.count("<tr") == 1 + 3 * 3 + 2
    assert table.count('class="lead"') == 3
    assert f"<td>{POOL}</td>" in table
    assert "<td>100.0</td>" in table


def test_how_much_is_luck_stands_beside_the_verdicts(whole: Path, page: Page) -> None:
    words = luck_words(numbers_of(read_experiment_info(whole), read_results(whole)))
    assert [word.partition(" with ")[2] for word in words] == ["4 labels", "8 labels", "16 labels"]
    assert "; ".join(words) in " ".join(page.source.split())


def test_trainings_made_in_different_ways_are_said(tmp_path: Path) -> None:
    write_experiment(tmp_path, budgets=(4,), seeds=1)
    assert "made in different ways" not in write_report(tmp_path).read_text(encoding="utf-8")
    (one, *_) = read_results(tmp_path)
    write_result(tmp_path, dataclasses.replace(one, trained_with="xssr-strategy 0 on cuda"))
    text = " ".join(write_report(tmp_path).read_text(encoding="utf-8").split())
    assert "compared here: xssr-strategy 0 on cpu; xssr-strategy 0 on cuda" in text


def test_nothing_is_fetched_and_nothing_runs(page: Page) -> None:
    assert not re.search(r"https?://", page.source)
    assert "default-src 'none'" in page.source
    assert all(source.startswith("data:image/") for source in page.pictures)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "embed", "a", "form"})
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "url(" not in page.source
    assert "@import" not in page.source
    for figure in page.figures:
        assert set(re.findall(r"https?://[^\"]*", figure)) <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }


def test_figures_and_thumbnails(page: Page) -> None:
    assert len(page.figures) == 4  # curves, Dice and HD95 to random, alpha
    thumbnails = [source for source in page.pictures if source.startswith("data:image/png")]
    assert len(thumbnails) == 3 * 16 + 4  # the largest budget of each strategy, and the worst cases
    picks = page.text[page.text.index("What was picked") : page.text.index("Where the segmentation fails")]
    assert re.findall(r"(\S+), 16 labels", picks) == ["xssr", "coreset", "random"]


def test_picks_stand_in_their_order(whole: Path, page: Page) -> None:
    job = next(one for one in read_results(whole) if one.job.name == "xssr-16-d0-s0")
    part = page.source[page.source.index("xssr, 16 labels") : page.source.index("coreset, 16 labels")]
    assert tuple(re.findall(r'alt="" title="([^"]*)"', part)) == job.picks


def test_the_worst_cases_are_the_lowest_means(whole: Path, page: Page) -> None:
    jobs = [one for one in read_results(whole) if (one.job.strategy, one.job.budget) == ("xssr", 16)]
    mean = {case: sum(one.dice[place][0] for one in jobs) / len(jobs) for place, case in enumerate(jobs[0].cases)}
    part = page.text[page.text.index("Where the segmentation fails") :]
    shown = re.findall(r"(case_\d\d) Dice (\d\.\d{3})", part)
    assert [case for case, _ in shown] == sorted(mean, key=mean.__getitem__)[:4]
    assert [float(dice) for _, dice in shown] == pytest.approx(sorted(mean.values())[:4], abs=0.0005)


def test_the_place_among_random_sets_is_told(whole: Path, page: Page) -> None:
    found = numbers_of(read_experiment_info(whole), read_results(whole)).ranks
    own = [one for one in found if one.strategy == "xssr" and not one.part]
    assert [(one.budget, one.draws) for one in own] == [(4, 4), (8, 4), (16, 4)]
    assert own[-1].sentence in page.text[: page.text.index("What labels are worth")]
    part = page.source[page.source.index('id="random-sets"') : page.source.index('id="differences"')]
    assert part.count('<td class="text">worst site</td>') == 2 * 3
    assert part.count('<td class="text">site north</td>') == 1  # of the largest budget


def test_the_tables_lie_beside_it(whole: Path) -> None:
    with (whole / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(read_results(whole)) == 3 * (2 + 3 * 6)
    assert all((whole / f"{name}.csv").stat().st_size for name in ("cases", "picks", "comparisons"))


def test_the_same_results_give_the_same_page(whole: Path, page: Page) -> None:
    write_report(whole)
    assert (whole / "report.html").read_text(encoding="utf-8") == page.source


def test_no_name_is_trusted(tmp_path: Path) -> None:
    evil = "<script>alert('1')</script>$x_"
    described = facts(
        {f'"onload="{evil}': str(tmp_path / evil)},
        source=evil,
        target=f"B{evil}",
        labels=(evil,),
        command=f"xssr simulate {evil}",
        sites=(Site(evil, (), ("case_00",), None),),
        settings={"preset": {"name": "xray", evil: evil}, "list": [evil, 1]},
        default=evil,
    )
    write_experiment_info(tmp_path, described)
    for strategy in (evil, "random"):
        one = result(strategy, [[0.5]], picks=tuple(described.images))
        one = dataclasses.replace(one, cases=(evil,), training="safe")
        write_result(tmp_path, dataclasses.replace(one, job=dataclasses.replace(one.job, strategy=strategy)))
    page = Page(write_report(tmp_path, failures={evil: evil}))
    assert not page.all("script")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count(evil) > 10


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    write_experiment_info(tmp_path, facts({"image_00": "gone.png"}))
    page = Page(write_report(tmp_path, missing=63))
    assert "63 jobs are missing, 0 are there" in page.text
    assert "No strategy has been trained yet" in page.text
    assert page.figures == []
    write_result(tmp_path, result("full", [[0.9]], 1, picks=("image_00",)))
    assert "62 jobs are missing, 1 is there" in Page(write_report(tmp_path, missing=62)).text


def test_a_run_without_random_full_and_source(tmp_path: Path) -> None:
    described = write_experiment(tmp_path, budgets=(4,), names={"coreset": 0.0}, seeds=1, source=None)
    for job in (tmp_path / "jobs").glob("*.json"):
        if not job.name.startswith("coreset"):
            job.unlink()
    page = Page(write_report(tmp_path, missing=2))
    assert described.default == "xssr"
    assert "coreset beside random picks" in page.text
    assert "random has not run with the same number of labels" in page.text
    assert "full has not run" in page.text
    assert "→" not in page.text
    assert page.ids.isdisjoint({"verdicts", "differences", "calibration"})
    assert len(page.figures) == 1
    assert "no picture" in page.text  # only the default strategy's cases are drawn


@pytest.mark.slow
def test_half_a_run_says_what_is_missing(tmp_path: Path) -> None:
    write_experiment(tmp_path, budgets=(4, 8))
    for name in ("random-8-d3-s2", "xssr-8-d0-s2", "full-40-d0-s1"):
        (tmp_path / "jobs" / f"{name}.json").unlink()
    page = Page(write_report(tmp_path, failures={"xssr-8-d0-s2": "out of memory"}, missing=3))
    assert "3 jobs are missing" in page.text
    assert "xssr-8-d0-s2 out of memory" in page.text
    assert "xssr with 8 labels: Dice" in page.text


@pytest.mark.slow
def test_volumes_with_several_labels(tmp_path: Path) -> None:
    write_experiment(tmp_path, "mri", budgets=(4,), labels=("liver", "spleen"), seeds=2, unit="mm")
    page = Page(write_report(tmp_path))
    assert "labels liver, spleen" in page.text
    assert re.search(r"HD95 \d+\.\d mm", page.text)
    assert len([source for source in page.pictures if source.startswith("data:image/png")]) == 3 * 4 + 4
    with (tmp_path / "results.csv").open(newline="") as file:
        assert {"dice_liver", "dice_spleen", "hd95_liver"} <= set(next(csv.reader(file)))


def test_many_picks_are_cut_and_the_rest_counted(tmp_path: Path) -> None:
    images = {f"image_{place:03}": str(tmp_path / "gone.png") for place in range(90)}
    write_experiment_info(tmp_path, facts(images))
    for budget in (70, 90):
        write_result(tmp_path, result("xssr", [[0.9]], budget, picks=sorted(images)[:budget]))
    page = Page(write_report(tmp_path))
    assert f"{70 - PICKS} more are not shown" in page.text
    assert len([one for one in page.pictures if one.startswith("data:image/png")]) == PICKS  # grey, all of them
    assert "xssr, 70 labels" in page.text


def test_facts_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"experiment\.json"):
        write_report(tmp_path)
