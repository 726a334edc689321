"""Several annotators at one server: nobody gets what another has, nothing is lost, and skipped scans stay out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import HTTPException

from tests.support.app import App
from xssr_strategy.pool.leases import Leases
from xssr_strategy.selection import CoreSet
from xssr_strategy.tasks.strategy import RandomStrategy, SelectorStrategy


@pytest.fixture
def app(tmp_path, monkeypatch) -> App:
    monkeypatch.setattr("xssr_strategy.datastores.studies.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    app = App(tmp_path)
    app.score()
    return app


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_two_annotators_follow_one_worklist(app: App) -> None:
    picks = [pick.image for pick in app.project.ranking.picks]
    assert [app.ask(client)["id"] for client in ("ann", "bob", "ann", "")] == picks[:4]
    assert app.ask("cy")["rank"] == 5
    assert app.scoring.info()["leased"] == 5
    app.label(picks[1])
    assert app.ask("bob")["id"] == picks[5]
    assert app.scoring.info()["leased"] == 5  # a labelled image is out with nobody


def test_an_image_comes_back_when_its_lease_ends(app: App) -> None:
    clock = Clock()
    app.project.leases = Leases(app.project.workspace.leases, 60, clock)
    first = app.ask("ann")
    assert first["leased_until"] == 4600.0
    assert app.ask("bob")["id"] != first["id"]
    clock.now += 3600.0
    assert app.ask("bob")["id"] == first["id"]


def test_a_label_that_another_server_wrote_counts_before_this_one_has_noticed(app: App) -> None:
    mine, waiting = app.ask("ann")["id"], sorted(app.datastore.list_images())
    other = next(image for image in waiting if image != mine)
    for image in (mine, other):
        file = app.studies / "labels" / "final" / f"{image}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((app.studies / f"{image}.png").read_bytes())
    assert {mine, other} <= set(app.datastore.get_unlabeled_images())
    given = []
    while (answer := app.ask("ann")) is not None and answer["id"] not in given:
        given.append(answer["id"])
    assert sorted(given) == sorted(set(waiting) - {mine, other})


def test_an_image_that_only_another_server_knows_yet_stays_with_who_has_it(app: App) -> None:
    app.project.leases.take("new", "ann")  # at a server that has noticed the file already
    assert app.ask("bob")["id"] != "new"
    assert app.project.leases.out()["new"].client == "ann"


def test_a_lease_that_another_server_ends_meanwhile_is_no_error(app: App, monkeypatch) -> None:
    leases = app.project.leases
    take = leases.take

    def ended_at_once(image: str, client: str) -> float | None:
        until = take(image, client)
        leases.end([image])
        return until

    monkeypatch.setattr(leases, "take", ended_at_once)
    assert app.ask("ann")["leased_until"] > 0


@pytest.mark.slow
def test_what_was_passed_over_comes_back_once_nothing_else_is_left(app: App) -> None:
    images = [app.ask("ann")["id"] for _ in range(16)]
    assert len(set(images)) == 16
    assert app.ask("bob") is None  # all are with ann
    for image in images[2:]:
        app.label(image)
    assert [app.ask("ann")["id"] for _ in range(3)] == [images[0], images[1], images[0]]
    assert app.ask("bob") is None


@pytest.mark.slow
def test_a_restart_keeps_the_leases(app: App) -> None:
    first = app.ask("ann")["id"]
    app.reopen()
    assert app.ask("bob")["id"] != first
    assert app.project.leases.out()[first].client == "ann"


def test_no_two_of_twenty_clients_hold_one_image_whatever_they_ask_for(app: App) -> None:
    others = [RandomStrategy(app.project), SelectorStrategy("CoreSet", app.project, CoreSet())]

    def ask(number: int) -> str | None:
        strategy = [app.strategy, *others][number % 3]
        answer = strategy({"client_id": f"client {number}"}, app.datastore)
        return None if answer is None else answer["id"]

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(ask, range(20)))
    images = [image for image in answers if image is not None]
    assert len(images) == len(set(images)) == 16  # the pool; four come too late


@pytest.mark.slow
def test_a_skipped_image_stays_out_until_it_is_put_back(app: App) -> None:
    first = app.ask("ann")["id"]
    second = app.ask("ann", skip=first, skip_reason="motion")["id"]
    assert second != first
    assert app.project.leases.skipped() == {first: "motion"}
    assert app.scoring.info()["skipped"] == 1
    assert app.due()  # the others are ranked as if it were not there
    assert app.score()["pool"] == 15
    assert first not in [pick.image for pick in app.project.ranking.picks]
    seen = {second, *(app.ask("ann")["id"] for _ in range(14))}
    assert len(seen) == 15
    assert first not in seen
    app.project.leases.restore([first])
    assert app.due()
    assert app.score()["embedded"] == 16  # its vector was kept
    assert app.ask("bob")["id"] == first


def test_skipping_what_is_not_there_is_refused_in_one_sentence(app: App) -> None:
    with pytest.raises(HTTPException, match="no such image") as refusal:
        app.ask("ann", skip="nothing")
    assert refusal.value.status_code == 404
    assert app.project.leases.skipped() == {}
