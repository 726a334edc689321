"""From images to a worklist, on small images made here."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.pools import PRESET, Bench, order, write
from xssr_strategy.embedding.checkpoint import load_encoder
from xssr_strategy.embedding.store import TARGET
from xssr_strategy.embedding.training import train_encoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import find_images
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.encoder_training import TRAINING, images_digest
from xssr_strategy.pool.ranking import rank, read_ranking, read_terms, reason
from xssr_strategy.pool.workspace import command_workspace
from xssr_strategy.settings import Settings, parse_settings


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def test_first_run_trains_embeds_and_ranks_and_the_second_only_looks(bench: Bench) -> None:
    ranking = bench.update()
    assert {TRAINING, pipeline.EMBEDDING, pipeline.RANKING} <= set(bench.stages)
    assert sorted(order(ranking)) == sorted(find_images(bench.studies))
    assert [pick.rank for pick in ranking.picks] == list(range(1, 31))
    assert (ranking.pool, ranking.budget, ranking.novelty) == (30, 4, True)
    assert len(ranking.calibration) == 10
    assert len(ranking.coverage) == 30
    assert ranking.advice.startswith("4 of 30 images cover the pool to a mean distance of")
    assert read_ranking(bench.store) == ranking

    before = {path: path.stat().st_mtime_ns for path in bench.workspace.root.rglob("*.safetensors")}
    written = bench.store.written(TARGET, ranking.encoder)
    assert bench.update() == ranking
    assert bench.stages == []
    assert {path: path.stat().st_mtime_ns for path in bench.workspace.root.rglob("*.safetensors")} == before
    assert bench.store.written(TARGET, ranking.encoder) == written
    leftovers = [path.suffix for path in bench.workspace.models.iterdir()]
    assert leftovers == [".safetensors"]


@pytest.mark.slow
def test_images_that_an_earlier_reading_prepared_for_the_encoder_are_read_again(bench: Bench) -> None:
    path = bench.workspace.encoder(bench.settings, PRESET)
    bench.update()
    expected = load_encoder(path).encoder.state_dict()
    path.unlink()
    digest = images_digest(pipeline.source_images(bench.settings))
    inputs = np.zeros((8, 1, PRESET.encoder_size, PRESET.encoder_size), dtype=np.float16)
    np.save(path.with_suffix(f".{digest[:8]}.npy"), inputs)
    bench.update()
    found = load_encoder(path).encoder.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert [file.suffix for file in bench.workspace.models.iterdir()] == [".safetensors"]


def test_labels_in_order_keep_the_ranking_and_others_renew_it(bench: Bench) -> None:
    first = bench.update()
    names = order(first)
    assert bench.update(tuple(names[:3])) is not None
    assert pipeline.RANKING not in bench.stages
    assert bench.update((names[1], names[2])).labelled == frozenset()  # the first pick is out with an annotator
    assert pipeline.RANKING not in bench.stages

    late = names[-1]
    renewed = bench.update((late,))
    assert pipeline.RANKING in bench.stages
    assert renewed.labelled == {late}
    assert late not in order(renewed)
    assert renewed.picks[0].rank == 2


def test_a_ranking_after_labels_goes_on_as_the_greedy_rule_would(bench: Bench) -> None:
    fixed = parse_settings({"source": str(bench.source), "encoder_steps": "1", "budget": "4", "alpha": "0.3"})
    whole = order(bench.update(settings=fixed))
    checkpoint, _ = pipeline.prepare(
        find_images(bench.studies), fixed, PRESET, bench.workspace, bench.store, lambda *_: None
    )
    rest = rank(checkpoint.id, find_images(bench.studies), whole[:5], fixed, bench.store)
    assert order(rest) == whole[5:]


def test_a_worklist_made_on_the_side_leaves_the_servers_terms_alone(bench: Bench) -> None:
    ranking = bench.update()
    other = parse_settings({"source": str(bench.source), "encoder_steps": "1", "budget": "9", "alpha": "0.7"})
    assert rank(ranking.encoder, find_images(bench.studies), (), other, bench.store).key != ranking.key
    terms = read_terms(bench.store)
    assert terms is not None
    assert (terms.key, terms.images) == (ranking.key, sorted(find_images(bench.studies)))
    assert terms.rule.density.shape == terms.rule.novelty.shape == (30,)


def test_new_and_changed_images_are_embedded_and_ranked(bench: Bench) -> None:
    first = bench.update()
    write(bench.studies, 31, 1)  # the same thirty with new times, and one more
    second = bench.update()
    assert second.pool == 31
    assert second.key != first.key
    assert second.encoder == first.encoder


def test_unreadable_pools_and_sources_are_named(bench: Bench, tmp_path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").write_bytes(b"no image")
    bench.studies = bad
    with pytest.raises(UserError, match=r"none of the 1 images can be read, for example .*a\.png"):
        bench.update()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"--conf source .*empty: no image is there"):
        bench.update(settings=parse_settings({"source": str(empty)}))


def test_reason_is_one_plain_sentence(bench: Bench) -> None:
    ranking = bench.update()
    sentences = [reason(pick, ranking) for pick in ranking.picks]
    assert all(sentence.endswith(".") and sentence.count(".") == 1 for sentence in sentences)
    assert sentences[0].startswith("Pick 1 of 30: ")
    assert "source" in sentences[0]
    assert "picked before" in sentences[1]


def test_commands_leave_the_studies_folder_alone(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    studies = tmp_path / "studies"
    studies.mkdir()
    assert command_workspace(studies, Settings(), "d").root.is_relative_to(tmp_path / "cache")
    (studies / ".xssr").mkdir()  # a server has worked here: its vectors are shared
    assert command_workspace(studies, Settings(), "d").root == studies / ".xssr"


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"encoder_steps": "3"}, {"seed": "5"}, {"encoder": "vit_mae"}, {"source": None}])
def test_a_checkpoint_of_other_settings_is_not_used_under_the_name_of_these(bench: Bench, other: dict) -> None:
    ranking = bench.update()
    asked = {"source": str(bench.source), "encoder_steps": "1", **other}
    settings = parse_settings({key: value for key, value in asked.items() if value is not None})
    written = next(bench.workspace.models.glob("*.safetensors"))
    copied = bench.workspace.encoder(settings, PRESET)
    assert copied != written
    shutil.copy(written, copied)
    with pytest.raises(UserError, match=f"{copied.name} holds an encoder of other settings .*{written.name}"):
        bench.update(settings=settings)
    assert read_ranking(bench.store) == ranking
    copied.unlink()
    assert bench.update(settings=settings).encoder != ranking.encoder


def test_an_encoder_of_scans_is_told_whose_they_are(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[int] | None] = []

    def noted(*arguments: Any, scans: np.ndarray | None, **more: Any) -> float:
        told.append(None if scans is None else scans.tolist())
        return train_encoder(*arguments, scans=scans, **more)

    monkeypatch.setattr("xssr_strategy.pool.encoder_training.train_encoder", noted)
    images = sorted(image.stem for image in bench.studies.iterdir())
    table = bench.studies.parent / "patients.csv"
    lines = ["image,patient", *(f"{image},{place // 2:02}" for place, image in enumerate(images)), "of-elsewhere,1"]
    table.write_text("\n".join(lines))
    conf = {"encoder": "poly_cl", "encoder_steps": "1", "budget": "4"}
    alone = bench.update(settings=parse_settings(conf))
    of_patients = bench.update(settings=parse_settings({**conf, "per_patient": "true", "patients": str(table)}))
    assert told == [None, [place // 2 for place in range(30)]]
    assert alone.encoder != of_patients.encoder
    bench.update(settings=parse_settings({**conf, "patients": str(table)}))
    assert len(told) == 2  # no other encoder
    table.write_text("\n".join(["image,patient", *(f"{image},one" for image in images)]))
    bench.update(settings=parse_settings({**conf, "patients": str(table), "encoder_steps": "2"}))
    named_alike = {"source": str(bench.source), "patients": str(table)}
    bench.update(settings=parse_settings({**conf, **named_alike}))
    bench.update(settings=parse_settings({**conf, "encoder": "conv_mae"}))
    assert told[2:] == [None, None, None]


def test_an_encoder_that_learns_from_labels_takes_those_of_the_source_or_says_so(bench: Bench) -> None:
    conf = {"source": str(bench.source), "encoder": "poly_cl_organ", "encoder_steps": "2", "budget": "4"}
    with pytest.raises(UserError, match="encoder poly_cl_organ: learns from labels of the source"):
        bench.update(settings=parse_settings(conf))
    labels = bench.source.parent / "source-labels"
    labels.mkdir()
    for number, image in enumerate(sorted(bench.source.iterdir())):
        mask = np.zeros((32, 32), np.uint8)
        mask[:8, :8] = number % 2
        Image.fromarray(mask).save(labels / image.name)
    settings = parse_settings({**conf, "source_labels": str(labels)})
    ranking = bench.update(settings=settings)
    assert len(ranking.picks) == 30
    assert ranking.encoder.startswith("poly_cl_organ-")
    assert TRAINING in bench.stages
    bench.update(settings=settings)
    assert bench.stages == []
