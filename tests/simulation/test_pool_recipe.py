"""A recipe's pool holds what it asks for, and nothing that another part holds out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.hospitals import experiment, hospital, planned, rows, simulate
from xssr_strategy.errors import UserError
from xssr_strategy.selection.budget import parse_budget
from xssr_strategy.simulation.domains import read_domain
from xssr_strategy.simulation.pool_recipe import read_recipe, refuse_source_in_pool
from xssr_strategy.simulation.report_numbers import numbers_of, site_tables
from xssr_strategy.simulation.results import read_experiment_info
from xssr_strategy.simulation.strategies import PER_PATIENT, PER_SITE


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recipes")
    hospital(root / "north", seed=1, test=4)
    hospital(root / "south", seed=2, test=2)
    hospital(root / "slices", seed=3, count=12, test=3)
    patients = [f"scan{number:02},p{number // 3}" for number in range(15)]
    (root / "slices" / "patients.csv").write_text("image,patient\n" + "\n".join(patients))
    return root


def written(root: Path, text: str) -> Path:
    path = root / "mixed.toml"
    path.write_text(text)
    return path


def test_whole_parts_keep_their_test_cases_sites_and_files(root: Path) -> None:
    mixed = read_recipe(written(root, '[[part]]\nfolder = "north"\n[[part]]\nfolder = "south"\n'))
    north, south = (read_domain(root / name, "--target") for name in ("north", "south"))
    assert mixed.name == "mixed"
    assert set(mixed.pool) == {f"north-{image}" for image in north.pool} | {f"south-{image}" for image in south.pool}
    assert mixed.test == {f"north-{case}" for case in north.test} | {f"south-{case}" for case in south.test}
    for image in mixed.images:
        name, _, own = image.partition("-")
        domain = {"north": north, "south": south}[name]
        assert (mixed.images[image], mixed.labels[image]) == (domain.images[own], domain.labels[own])
        assert (mixed.sites[image], mixed.patients[image]) == (name, image)


def test_a_share_is_of_the_finished_pool(root: Path) -> None:
    text = '[[part]]\nfolder = "north"\n[[part]]\nfolder = "south"\nshare = 0.2\nsite = "rare"\ntest = 1\n'
    mixed = read_recipe(written(root, text))
    assert Counter(mixed.sites[image] for image in mixed.pool) == {"north": 16, "rare": 4}
    assert Counter(mixed.sites[image] for image in mixed.test) == {"north": 4, "rare": 1}


def test_the_seed_decides_what_is_drawn(root: Path) -> None:
    text = '[[part]]\nfolder = "north"\nimages = 5\n'
    pools = [read_recipe(written(root, f"seed = {seed}\n{text}")).pool for seed in (0, 0, 1)]
    assert pools[0] == pools[1]
    assert pools[0] != pools[2]
    assert all(len(pool) == 5 for pool in pools)


def test_slices_of_a_patient_stay_together(root: Path) -> None:
    mixed = read_recipe(written(root, '[[part]]\nfolder = "slices"\nimages = 6\n'))
    assert sorted(Counter(mixed.patients[image] for image in mixed.pool).values()) == [3, 3]
    assert not {mixed.patients[image] for image in mixed.pool} & {mixed.patients[case] for case in mixed.test}


def test_images_that_come_twice_are_of_one_patient(root: Path) -> None:
    mixed = read_recipe(written(root, '[[part]]\nfolder = "north"\nimages = 8\nrepeats = 0.25\nkind = "follow-up"\n'))
    again = [image for image in mixed.pool if image.endswith("-again")]
    assert (len(again), len(mixed.pool)) == (2, 10)
    for image in again:
        first = image.removesuffix("-again")
        assert mixed.images[image] == mixed.images[first]
        assert (mixed.labels[image], mixed.patients[image]) == (mixed.labels[first], mixed.patients[first])
    assert set(mixed.kinds.values()) == {"follow-up"}


def test_two_parts_of_one_site_have_ids_of_their_own(root: Path) -> None:
    text = "".join(f'[[part]]\nfolder = "{name}"\nsite = "city"\n' for name in ("north", "south"))
    mixed = read_recipe(written(root, text))
    assert len(mixed.images) == 16 + 4 + 16 + 2
    assert set(mixed.sites.values()) == {"city"}


def test_ids_never_meet_and_are_names_of_files(root: Path) -> None:
    for text, site in (('site = "a/../b"', "a/../b"), (f'site = "{"x" * 300}"', "x" * 300)):
        mixed = read_recipe(written(root, f'[[part]]\nfolder = "north"\n{text}\n'))
        assert all("/" not in image and len(image) < 60 for image in mixed.images)
        assert set(mixed.sites.values()) == {site}
    sites = ("a", "a", "a1")
    text = "".join(
        f'[[part]]\nfolder = "{n}"\nsite = "{s}"\n' for n, s in zip(("north", "south", "slices"), sites, strict=True)
    )
    with pytest.raises(UserError, match="two images would have the id a1-scan"):
        read_recipe(written(root, text))


def test_folders_of_one_name_are_two_sites(tmp_path: Path) -> None:
    for number, city in enumerate(("berlin", "lima")):
        hospital(tmp_path / city / "ct", seed=number, test=2)
    mixed = read_recipe(written(tmp_path, '[[part]]\nfolder = "berlin/ct"\n[[part]]\nfolder = "lima/ct"\n'))
    assert set(mixed.sites.values()) == {"ct1", "ct2"}


def test_nothing_is_held_out_where_another_domain_judges(tmp_path: Path) -> None:
    hospital(tmp_path / "new", seed=4)
    mixed = read_recipe(written(tmp_path, '[[part]]\nfolder = "new"\n'), judged_elsewhere=True)
    assert (len(mixed.pool), len(mixed.test)) == (16, 0)


def test_a_source_may_not_be_in_the_pool(root: Path) -> None:
    mixed = read_recipe(written(root, '[[part]]\nfolder = "north"\n[[part]]\nfolder = "south"\n'))
    refuse_source_in_pool(read_domain(root / "slices", "--source"), mixed)
    with pytest.raises(UserError, match="mixes its images into the pool; name another source"):
        refuse_source_in_pool(read_domain(root / "south", "--source"), mixed)


def test_a_domain_that_holds_nothing_out_holds_out_a_fifth(tmp_path: Path) -> None:
    hospital(tmp_path / "new", seed=4)
    mixed = read_recipe(written(tmp_path, '[[part]]\nfolder = "new"\n'))
    assert (len(mixed.pool), len(mixed.test)) == (13, 3)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("seed = ", "cannot be read as TOML"),
        ("", "there is no [[part]]"),
        ("sede = 1", "the key sede is unknown"),
        ("seed = -1", "seed must be a whole number from 0"),
        ('[[part]]\nsite = "a"', "part 1 names no folder"),
        ('[[part]]\nfolder = "north"\nmuch = 3', "part 1: the key much is unknown; it may have folder, site, kind"),
        ('[[part]]\nfolder = "north"\nimages = 0', "part 1: images must be a whole number from 1, not 0"),
        ('[[part]]\nfolder = "north"\nimages = true', "images must be a whole number from 1, not True"),
        ('[[part]]\nfolder = "north"\nshare = 0.5', "the shares leave nothing for the others"),
        ('[[part]]\nfolder = "north"\nimages = 3\nshare = 0.5', "images and share exclude each other"),
        ('[[part]]\nfolder = "north"\nimages = 17', "part 1 (north): 17 images are asked for, its pool has 16"),
        ('[[part]]\nfolder = "north"\ntest = 5', "part 1 (north): 5 test cases are asked for, it has 4"),
        ('[[part]]\nfolder = "north"\nsite = ""', "site must be a text of one line"),
        ('[[part]]\nfolder = "north"\nsite = "a\\nb"', "site must be a text of one line"),
        ('[[part]]\nfolder = "north"\nshare = 1', "share must be a number above 0 and below 1, not 1"),
        ('[[part]]\nfolder = "north"\n' * 2, "is of two parts; name each folder once"),
        ('[[part]]\nfolder = "north"\ntest = 0', "no part has a test case"),
        ("part = 3", "there is no [[part]]"),
        ('[[part]]\nfolder = "west"', "west: does not exist"),
    ],
)
def test_what_cannot_be_mixed_is_one_sentence(root: Path, text: str, why: str) -> None:
    with pytest.raises(UserError) as error:
        read_recipe(written(root, text))
    assert why in str(error.value)
    assert "mixed.toml" in str(error.value)
    assert "\n" not in str(error.value).strip()


def test_parts_whose_labels_have_other_names_are_refused(tmp_path: Path) -> None:
    for name, label in (("a", "lung"), ("b", "heart")):
        folder = hospital(tmp_path / name, seed=5)
        (folder / "labels").rename(folder / "labelsTr")
        (folder / "imagesTr").mkdir()
        for image in (folder / "images").iterdir():
            image.rename(folder / "imagesTr" / f"{image.stem}_0000.png")
        (folder / "dataset.json").write_text(
            f'{{"channel_names": {{"0": "X"}}, "labels": {{"background": 0, "{label}": 1}}, "file_ending": ".png"}}'
        )
    text = '[[part]]\nfolder = "a"\n[[part]]\nfolder = "b"\n'
    names = [read_domain(tmp_path / name, "--target").label_names for name in ("a", "b")]
    assert names == [("lung",), ("heart",)]
    with pytest.raises(UserError, match="the labels of one part are heart, of another lung"):
        read_recipe(written(tmp_path, text))


def test_a_simulation_picks_from_it_and_tells_sites_and_kinds(root: Path, tmp_path: Path) -> None:
    text = '[[part]]\nfolder = "north"\nkind = "usual"\n[[part]]\nfolder = "south"\nshare = 0.2\nkind = "rare"\n'
    mixed = read_recipe(written(root, text))
    what = experiment(root / "north", strategies=("xssr", "random"), seeds=1, draws=2)
    assert simulate(replace(what, target=mixed, test=mixed), tmp_path) == {}
    facts = read_experiment_info(tmp_path)
    assert {site.name: len(site.pool) for site in facts.sites} == {"north": 16, "south": 4}
    assert Counter(facts.kinds.values()) == {"usual": 20, "rare": 6}
    (table,) = site_tables(numbers_of(facts, rows(tmp_path)))
    assert [row[:3] for row in table.rows][2:] == [("kind rare", "4", "2"), ("kind usual", "16", "4")]
    assert all(set(one.picks) <= set(mixed.pool) for one in rows(tmp_path))


def test_xssr_that_knows_patients_and_sites_spreads_its_picks(root: Path, tmp_path: Path) -> None:
    text = '[[part]]\nfolder = "slices"\n[[part]]\nfolder = "south"\nshare = 0.2\nsite = "rare"\n'
    mixed = read_recipe(written(root, text))
    assert Counter(mixed.sites[image] for image in mixed.pool) == {"slices": 12, "rare": 3}
    what = experiment(root / "south", strategies=(PER_PATIENT, PER_SITE), budgets=(parse_budget("6"),), seeds=1)
    plan = planned(replace(what, target=mixed, test=mixed), tmp_path)
    patients, sites = ([*one.choice.picks] for one in plan.jobs)
    assert len({mixed.patients[image] for image in patients}) == 6
    assert Counter(mixed.sites[image] for image in sites) == {"slices": 3, "rare": 3}
