"""``xssr embed``: vectors for the server on the same studies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.pools import write
from xssr_strategy.embedding.store import TARGET
from xssr_strategy.parallel.images import Workers
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.opened import open_server_pool
from xssr_strategy.settings import Settings, parse_settings

SHORT = ("--encoder-steps", "1", "--preset", "xray")


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    studies = write(tmp_path / "studies", 12, 1)
    (studies / "text.png").write_text("no image")
    return studies


def test_the_server_finds_the_vectors(studies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = run(capsys, "embed", "--studies", studies, *SHORT)
    assert status == 0
    assert "13 images in the pool, preset xray" in printed
    assert "12 images embedded now, 0 found embedded, 1 set aside; " in printed
    assert "set aside: " in printed
    assert "text.png: is damaged or of another format" in printed.replace("\n", " ")
    opened = open_server_pool(str(studies), parse_settings({"encoder_steps": "1", "preset": "xray"}))
    (encoder,) = {row[0] for row in opened.store._db.execute("SELECT DISTINCT encoder FROM vectors")}
    assert len(opened.store.fingerprints(TARGET, encoder)) == 12
    assert opened.workspace.root == studies / ".xssr"
    status, printed = run(capsys, "embed", "--studies", studies, *SHORT)
    assert "0 images embedded now, 13 found embedded, 1 set aside; " in printed


@pytest.mark.parametrize(
    ("asked", "workers"),
    [((), Workers(1)), (("--workers", "3"), Workers(3)), (("--ray", "auto"), Workers(1, "auto"))],
)
def test_who_does_it(
    studies: Path, asked: tuple[str, ...], workers: Workers, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    given = []
    prepare = pipeline.prepare

    def noted(*arguments: object) -> object:
        given.append(arguments[-1])
        return prepare(*arguments[:-1])  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "prepare", noted)
    assert run(capsys, "embed", "--studies", studies, *SHORT, *asked)[0] == 0
    assert given == [workers]


def test_the_servers_scoring_asks_as_many_processes_as_the_settings_say(
    studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def noted(*_: object, workers: object = None, **__: object) -> None:
        asked.append(workers)
        raise InterruptedError

    monkeypatch.setattr(pipeline, "embed_pool", noted)
    monkeypatch.chdir(studies.parent)  # in which the workers of a cluster are not
    for conf in ({}, {"embed_workers": "4"}):
        settings: Settings = parse_settings({"encoder_steps": "1", "preset": "xray", **conf})
        opened = open_server_pool(studies.name, settings)
        with pytest.raises(InterruptedError):
            pipeline.update(opened.studies.images, (), settings, opened.preset, opened.workspace, opened.store)
    assert asked[0] is None
    assert asked[1].processes == Workers(4)
    assert asked[1].encoder.exists()
    assert asked[1].encoder.is_absolute()


def test_mistakes_are_told(studies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = run(capsys, "embed", "--studies", studies, "--ray", "auto", "--workers", "2")
    assert (status, printed.strip()) == (
        2,
        "xssr: --workers: a Ray cluster has as many as it has processors; leave it out, or --ray.",
    )
    with pytest.raises(SystemExit):
        run(capsys, "embed", "--studies", studies, "--workers", "0")
    status, printed = run(capsys, "embed", "--studies", studies / "nowhere")
    assert status == 2
