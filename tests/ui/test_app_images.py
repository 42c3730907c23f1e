"""The page of images: what it shows is what came with the app or with a folder, and nothing unchecked."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from app_pages import switch_page
from run_folders import write
from streamlit.testing.v1 import AppTest

from toylab import features
from toylab.config import Change
from toylab.configs import named_config
from toylab.experiments.results import group, same_settings
from toylab.metrics.statistics import paired_difference
from toylab.storage.run_folder import Header
from toylab.ui.pages.images import texts as words
from toylab.ui.runs import files, stored
from toylab.ui.runs.comparison import differences, interval_of
from toylab.ui.runs.entry import EVALUATIONS, Number
from toylab.ui.runs.stored import image_entries as packaged

APP = Path(__file__).parents[2] / "app.py"
NUMBER = Number("fdd-v1", 0.38123, 0.004, 1797, 3, 0.1088, 0.01, 898)
ASSETS = Path(__file__).parents[2] / "toylab" / "ui" / "assets"


@pytest.fixture
def page(monkeypatch, tmp_path):
    """The page in a folder of its own: its runs/ are those of the test."""
    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    monkeypatch.setattr(files, "RUNS", tmp_path)
    at = AppTest.from_file(str(APP), default_timeout=30)
    at.run()
    return switch_page(at, "images")


def texts(at):
    return "\n".join(element.value for element in (*at.markdown, *at.caption))


def tables(at):
    return "\n".join(table.value.to_string() for table in at.table)


def test_it_begins_with_runs_of_three_betas_from_one_noise(page):
    page.run()
    assert not page.exception
    assert not page.error
    first = [entry for entry in packaged() if entry.config.seed == 0]
    assert page.session_state["images_runs"] == [entry.id for entry in first]
    assert len(page.get("image")) == 1 + len(first)
    shown = tables(page)
    for entry in first:
        assert interval_of(entry.images.scores[1]["FDD"]) in shown
    assert "n = 1,797 samples in 1 network evaluation each" in texts(page)
    seeds = sorted({entry.config.seed for entry in packaged()})
    told = f"training seeds, paired ({', '.join(map(str, seeds))})" if len(seeds) > 1 else "one training seed"
    assert told in shown
    assert f"β \\= 1: no difference found ({len(seeds)} training seeds)" in texts(page)


@pytest.mark.parametrize(("said", "meant"), [("4", 4), ("3", 1), ("<b>", 1), ("1e9", 1)])
def test_the_address_says_how_many_evaluations(page, said, meant):
    page.query_params["images_nfe"] = said
    page.run()
    assert not page.exception
    entry = packaged()[0]
    assert interval_of(entry.images.scores[meant]["FDD"]) in tables(page)


def test_the_stored_runs_are_those_of_the_packaged_config():
    config = named_config("digits-dit-tiny")
    found = {(entry.config.beta, entry.config.seed) for entry in packaged()}
    assert len(found) == len(packaged())
    arms = group(entry.result(NUMBER) for entry in packaged())
    for entry in packaged():
        known = entry.config.replace(beta=config.beta, seed=config.seed, log_every=config.log_every)
        assert known == config
        (arm,) = [arm for arm in arms if arm.key == same_settings(entry.result(NUMBER))]
        assert len(arm.results) == len({seed for _, seed in found})
    assert sum(path.stat().st_size for path in ASSETS.glob("first_images.*")) < 300_000


def test_stored_samples_show_the_class_of_their_column():
    """Read by the classifier as often as asked for as the scores say: by 1797 others of the same net."""
    net = features.load("fdd-v1")
    real = packaged()[0].images.real
    np.testing.assert_array_equal(real, stored.real_images("digits", 10))
    for entry in (packaged()[0], packaged()[-1]):
        pixels = entry.images.grids[1] / np.float32(127.5) - 1
        read = np.argmax(net(pixels).logits, axis=1) == np.arange(len(pixels)) % 10
        share = entry.images.scores[1]["label_accuracy"].value
        assert abs(read.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(read))
        assert set(entry.images.grids) == set(EVALUATIONS)


def numbered(beta, seed, distance):
    """A stored run under another seed, with a distance of its own."""
    entry = next(each for each in packaged() if each.config.beta == beta)
    score = entry.images.scores[1]["FDD"]._replace(value=distance)
    content = dataclasses.replace(entry.images, scores={1: {"FDD": score}})
    return dataclasses.replace(
        entry, id=f"{beta:g}-{seed}", config=entry.config.replace(seed=seed), content=content
    )


def test_differences_are_paired_by_seed_where_there_are_seeds():
    plain, full = {4: 0.5, 5: 0.4, 6: 0.6}, {4: 0.3, 5: 0.35, 6: 0.5}
    everyone = [numbered(beta, seed, each[seed]) for beta, each in ((0, plain), (1, full)) for seed in each]
    scores = {entry.id: entry.images.scores[1] for entry in everyone}
    a, b = everyone[0], everyone[3]
    ((found,), _) = differences({"A": a, "B": b}, scores, "A", ["FDD"], everyone)
    assert (found.letters, found.baseline, found.seeds) == (("B",), ("A",), (4, 5, 6))
    assert found.intervals["FDD"] == paired_difference(full, plain)
    ((alone,), _) = differences({"A": a, "B": b}, scores, "A", ["FDD"])
    assert (alone.seeds, alone.intervals["FDD"].mean) == ((), pytest.approx(0.3 - 0.5))
    # A run that was steered is no seed of its settings.
    steered = dataclasses.replace(b, id="steered", changes=(Change(1, "beta", 0.0),))
    known = scores | {"steered": scores[a.id]}
    ((apart,), _) = differences({"A": a, "B": steered}, known, "A", ["FDD"], (*everyone, steered))
    assert (apart.seeds, apart.intervals["FDD"].mean) == ((), 0)


def test_a_score_is_told_to_the_digits_of_its_interval():
    assert interval_of(NUMBER) == "0.381 \\[0.364, 0.398\\]"
    assert interval_of(NUMBER._replace(num_keys=1)) == "0.381"
    assert words.floor_row({"FDD": NUMBER})["Frechet distance"] == "0.109 ± 0.010 (n = 898)"


DIGITS = named_config("digits-dit-tiny").to_dict()


def image_folder(path, settings=DIGITS, dim=64, **changes):
    generated, reference = np.zeros((100, dim), np.float32), np.ones((100, dim), np.float32)
    content = {"generated": generated, "reference": reference, "write_checkpoint": None} | changes
    return write(path, header=Header(settings, step=settings["steps"]), **content)


def test_a_folder_without_parameters_shows_what_it_holds(page, tmp_path):
    image_folder(tmp_path / "mine", DIGITS | {"beta": 0.25})
    write(tmp_path / "plane")
    (source,) = files.folders()
    assert "β = 0.25" in source.label
    assert source.unread is not None
    entry = files.read_folder(source.unread.path, "images", source.id)
    assert (entry.run, entry.note, entry.images.grids[1].shape) == (
        None,
        "its parameters are not in the file",
        (80, 8, 8, 1),
    )
    page.session_state["images_runs"] = [source.id]
    page.run()
    page.session_state["computations"][f"image-read-{source.id}"][1].result(30)
    page.run()
    assert not page.exception
    assert not page.error
    assert len(page.get("image")) == 2
    assert "not scored: its parameters are not in the file" in tables(page).replace("\\", "")


def test_a_run_without_a_score_in_front_hides_no_difference(page, tmp_path):
    image_folder(tmp_path / "mine", DIGITS | {"beta": 0.25})
    (source,) = files.folders()
    scored = [entry.id for entry in packaged() if entry.config.seed == 0][:2]
    page.session_state["images_runs"] = [source.id, *scored]
    page.run()
    page.session_state["computations"][f"image-read-{source.id}"][1].result(30)
    page.run()
    assert not page.exception
    (found,) = [table.value for table in page.table if table.value.index.name == "Runs"]
    assert [name.split("\\")[0] for name in found.index] == ["C minus B"]


def test_a_hostile_upload_is_one_line(page):
    page.run()
    page.get("file_uploader")[0].upload("<b>evil</b>.zip", b"PK\x03\x04 no zip", "application/zip").run()
    page.button(key="images_import").click().run()
    assert not page.exception
    (error,) = page.error
    assert error.value.startswith("Not imported: ")
    assert "not a readable zip" in error.value
    assert "<b>" not in error.value.replace("\\<", "")


HOSTILE = {
    "data that are a folder": (
        {"dataset": "latents", "dataset_options": {"folder": "/etc"}},
        64,
        "not on images",
    ),
    "the plane": ({"dataset": "two_moons", "net": "mlp", "net_options": {}}, 2, "not on images"),
    "a stand-in": (
        {"dataset": "fashion", "dataset_options": {"stand_in": True}},
        1024,
        "uses the option stand_in",
    ),
    "another size": ({}, 65, "have 64 pixels, the samples 65"),
    "an unknown option": ({"dataset_options": {"evil": 1}}, 64, "unknown option 'evil'"),
    "an unknown setting": ({"evil": 1}, 64, "evil"),
    "markup": ({"dataset": "<script>"}, 64, "<script>"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_folder_is_one_line(case, tmp_path):
    settings, dim, reason = HOSTILE[case]
    path = image_folder(tmp_path / "run", DIGITS | settings, dim)
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")) as caught:
        files.read_folder(path, "images")
    assert "\n" not in str(caught.value)


def test_a_giant_net_is_not_loaded(tmp_path):
    path = image_folder(tmp_path / "run", DIGITS | {"net_options": {"size": "XL", "patch": 2}})
    entry = files.read_folder(path, "images")
    assert entry.run is None
    assert "MB, at most" in entry.note
