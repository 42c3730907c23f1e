"""Export and import: a round trip keeps every number, hostile files are one line, nothing more."""

import contextlib
import io
import json
import re
import stat
import tomllib
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import toylab as tl
from toylab.config import Change
from toylab.storage.run_folder import samples_bytes
from toylab.training import Run
from toylab.ui.runs import export
from toylab.ui.runs import files as reading

CONFIG = tl.RunConfig(
    dataset="two_moons",
    beta=0.25,
    steps=20,
    batch_size=16,
    width=8,
    depth=2,
    seed=3,
    log_every=5,
    eval_samples=64,
)


@pytest.fixture(scope="module")
def run() -> Run:
    return tl.train(CONFIG, progress=False)


@pytest.fixture(scope="module")
def files(run) -> dict[str, export.File]:
    return {file.label: file for file in export.make_files(run, "a run")}


@pytest.fixture(scope="module")
def archive(files) -> bytes:
    return files["Run folder (zip)"].content


def altered(run: Run, **state) -> Run:
    return Run(run.config, run.state._replace(**state), run.history, changes=run.changes)


def test_the_zip_gives_the_same_run_back(run, archive):
    back = reading.read_zip(archive).run
    assert back is not None
    assert (back.config, back.step, back.status, back.changes) == (run.config, run.step, "done", ())
    np.testing.assert_array_equal(back.state.params, run.state.params)
    np.testing.assert_array_equal(back.state.params_ema, run.state.params_ema)
    pd.testing.assert_frame_equal(back.history, run.history.astype(np.float64), check_names=False)
    np.testing.assert_array_equal(back.sample(100, seed=5), run.sample(100, seed=5))
    assert back.path is None
    assert run.path is None, "the run does not remember a temporary folder"


def test_json_csv_and_npz_give_the_same_numbers_back(run, files):
    parts = [files[label] for label in ("Samples (npz)", "Settings (JSON)", "History (csv)")]
    (back,) = reading.read_files([(file.name, file.content) for file in parts])
    assert back.config == run.config
    assert back.status == "done"
    assert back.run is None
    pd.testing.assert_frame_equal(back.history, run.history.astype(np.float64), check_names=False)
    np.testing.assert_array_equal(back.points.samples, run.sample(4096, seed=0))
    # Renamed files find each other too, and the samples may be missing.
    (bare,) = reading.read_files([("x.csv", parts[2].content), ("y.json", parts[1].content)])
    assert bare.config == run.config
    assert bare.points.samples is None


def test_figures_are_what_their_endings_say(files):
    for label in ("Samples", "Curves"):
        assert files[f"{label} (PNG)"].content.startswith(b"\x89PNG\r\n")
        assert ElementTree.fromstring(files[f"{label} (SVG)"].content).tag.endswith("svg")


def test_file_names_are_safe_and_belong_together(files):
    names = [file.name for file in files.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"two_moons-beta0\.25-ema-seed3[a-z-]*\.[a-z]+", name) for name in names)


def test_the_python_makes_the_same_parameters(run):
    code = export.python_code(run)
    scope: dict = {}
    exec(compile(code, "snippet", "exec"), scope)
    np.testing.assert_array_equal(scope["run"].state.params, run.state.params)
    assert scope["config"] == run.config
    named = set(re.findall(r"^    (\w+)=", code, re.MULTILINE))
    default = tl.RunConfig()
    assert named == {
        name for name in run.config.to_dict() if getattr(run.config, name) != getattr(default, name)
    }


def test_the_python_says_what_it_does_not_repeat(run):
    changed = Run(run.config, run.state, run.history, changes=[Change(7, "beta", 0.5)])
    assert "# Not repeated here: changed while training: beta = 0.5 from step 7 on" in export.python_code(
        changed
    )
    assert "stopped at step 12" in export.python_code(altered(run, step=np.int32(12)))
    assert "diverged at step 9" in export.python_code(altered(run, diverged_at=np.int32(9)))
    assert "#" not in export.python_code(run)


def test_the_python_of_own_points_reads_the_exported_settings(run, tmp_path, monkeypatch):
    points = np.random.default_rng(0).normal(size=(400, 2)).tolist()
    own = SimpleNamespace(
        config=CONFIG.replace(dataset="points", dataset_options={"array": points}), changes=(), status="done"
    )
    code = export.python_code(own)
    assert len(code) < 600
    (tmp_path / f"{export.file_name(own)}{export.JSON}").write_text(
        json.dumps({"settings": own.config.to_dict()})
    )
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(code.split("run = ")[0], scope)
    assert scope["config"] == own.config


def test_no_column_of_the_csv_is_a_formula():
    table = pd.DataFrame(
        {name: [-1.5] for name in ("=cmd()", "+1", "-x", "@sum", "loss")}, pd.Index([1], name="step")
    )
    header, row = export.history_csv(table).decode().splitlines()
    assert header.split(",") == ["step", "'=cmd()", "'+1", "'-x", "'@sum", "loss"]
    assert row == "1,-1.5,-1.5,-1.5,-1.5,-1.5", "numbers stay numbers"


def test_a_diverged_run_is_exported_as_such(run):
    files = export.make_files(altered(run, diverged_at=np.int32(9)), "a run")
    assert files[0].name.endswith("-diverged.zip")
    back = reading.read_zip(files[0].content).run
    assert back is not None
    assert back.status == "diverged"


def test_live_changes_survive_the_round_trip(run):
    changed = Run(run.config, run.state, run.history, changes=[Change(7, "beta", 0.5)])
    back = reading.read_zip(export.make_files(changed, "a run")[0].content).run
    assert back is not None
    assert back.changes == (Change(7, "beta", 0.5),)


# What nobody should believe.


def rezipped(archive: bytes, edit=None, **options) -> bytes:
    """The archive with its members edited: (name, content) -> list of (name or ZipInfo, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w", **options) as new:
        for info in old.infolist():
            pairs = [(info.filename, old.read(info))]
            for name, content in edit(*pairs[0]) if edit else pairs:
                new.writestr(name, content)
    return buffer.getvalue()


def with_extra(name: str, content: bytes = b"x", mode: int = 0):
    def edit(member, data):
        if not member.endswith("config.json"):
            return [(member, data)]
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        return [(member, data), (info, content)]

    return edit


def with_settings(**changes):
    def edit(member, data):
        if member.endswith("config.json"):
            content = json.loads(data)
            content["settings"].update(changes)
            data = json.dumps(content).encode()
        return [(member, data)]

    return edit


def without(part: str):
    return lambda member, data: [] if part in member else [(member, data)]


def replaced(part: str, content: bytes):
    return lambda member, data: [(member, content if part in member else data)]


ROOT = "two_moons-beta0.25-ema-seed3"
HOSTILE = {
    "up": (with_extra("../evil"), "none of a run folder"),
    "up inside": (with_extra(f"{ROOT}/checkpoint/../../evil"), "none of a run folder"),
    "absolute": (with_extra("/etc/evil"), "none of a run folder"),
    "backslash": (with_extra("..\\evil"), "none of a run folder"),
    "drive": (with_extra("C:/evil"), "none of a run folder"),
    "newline": (with_extra(f"{ROOT}/a\nb"), "none of a run folder"),
    "link": (with_extra(f"{ROOT}/checkpoint/l", b"/etc/passwd", stat.S_IFLNK | 0o777), "not a plain file"),
    "twice": (with_extra(f"{ROOT}/CONFIG.json"), "twice"),
    "two runs": (with_extra("other/config.json"), "2 run folders"),
    "no run": (without("config.json"), "no run folder"),
    "no history": (without("history.csv"), "history.csv: no such file"),
    "no samples": (without("samples.npz"), "samples.npz: no such file"),
    "text as npz": (replaced("samples.npz", b"nothing"), "samples.npz"),
    "csv of words": (replaced("history.csv", b"step,loss\n1,=cmd\n"), "history.csv"),
    "json of nan": (replaced("config.json", b'{"schema": NaN}'), "NaN"),
    "json of lists": (replaced("config.json", b"[" * 100_000), "config.json"),
    "damaged parameters": (replaced("manifest.ocdbt", b"junk"), "SHA-256"),
    "other settings": (with_settings(width=16), "checkpoint"),
    "more steps": (with_settings(steps=10), "checkpoint"),
    "a giant net": (with_settings(width=8192, depth=64), "exceeds the import size limit"),
    "a large net": (with_settings(width=4096, depth=4), "MB, at most"),
    "unknown dataset": (with_settings(dataset="<script>"), "<script>"),
    "unknown setting": (with_settings(evil=1), "evil"),
    "wide data": (with_settings(dataset="dgmm", dataset_options={"dim": 1024}), "dimension 1024"),
    "much data": (
        with_settings(dataset="dgmm", dataset_options={"num_components": 10_000}),
        "exceeds the import size limit",
    ),
    "a long mean": (
        with_settings(dataset="gaussian_mixture", dataset_options={"means": [[0.0] * 5000]}),
        "exceeds the import size limit",
    ),
    "images": (
        with_settings(dataset="fashion", dataset_options={"stand_in": True}),
        "is on images (fashion)",
    ),
    "a huge number": (replaced("config.json", b'{"schema": 1' + b"0" * 400 + b"}"), "of 401 digits"),
    "a long header": (replaced("history.csv", b"step," + b"x" * 200_000), "a header of 200005 characters"),
    "foreign option": (with_settings(dataset="two_gaussians", dataset_options={"std": "big"}), "std"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_folder_is_one_line(archive, case, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    edit, reason = HOSTILE[case]
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        reading.read_zip(rezipped(archive, edit))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value), "the reader does not know the temporary folder"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind, and nothing beside it"


def test_bombs_are_refused_before_they_unpack(archive, monkeypatch):
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("unpacked"))
    many = with_extra(f"{ROOT}/x")

    def crowd(member, data):
        extra = [(f"{ROOT}/f{i}", b"") for i in range(100)] if member.endswith("config.json") else []
        return [(member, data), *extra]

    monkeypatch.undo()
    bomb = rezipped(archive, with_extra(f"{ROOT}/bomb", bytes(200 * 2**20)), compression=zipfile.ZIP_DEFLATED)
    crowded, squeezed = rezipped(archive, crowd), rezipped(archive, many, compression=zipfile.ZIP_BZIP2)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("unpacked"))
    for content, reason in (
        (bomb, "unpacks to"),
        (crowded, "files, at most"),
        (squeezed, "compressed in a way"),
    ):
        with pytest.raises(ValueError, match=reason):
            reading.read_zip(content)


def test_a_lie_about_a_size_unpacks_no_more_than_it_says(archive):
    """The history claims to be short and is long: what is read is what was declared, or nothing."""
    position = archive.rindex(b"PK\x01\x02", 0, archive.rindex(b"history.csv"))
    lying = bytearray(archive)
    lying[position + 24 : position + 28] = (10).to_bytes(4, "little")
    with pytest.raises(ValueError, match=r"history|zip"):
        reading.read_zip(bytes(lying))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.zip", b"", "not a readable zip"),
        ("a.zip", b"PK\x03\x04" + b"\0" * 100, "not a readable zip"),
        ("a.exe", b"MZ", "not a zip, json, csv or npz"),
        ("a.json", b"{}", "with a history.csv"),
        ("a.csv", b"step\n", "with a history.csv"),
        ("big.zip", b"\0" * (reading.MAX_FILE_BYTES + 1), "more than 16 MB"),
    ],
)
def test_other_files_are_one_line_that_names_them(name, content, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        reading.read_files([(name, content)])
    assert str(caught.value).startswith(name.removesuffix(".json").removesuffix(".csv"))


def test_loose_files_are_checked_too(files):
    good_json, good_csv = files["Settings (JSON)"].content, files["History (csv)"].content
    three = samples_bytes(np.zeros((5, 3), np.float32), np.zeros((5, 3), np.float32))
    for parts, reason in (
        ((b"\xff\xfe", good_csv), "settings"),
        ((b"[]", good_csv), "not a JSON object"),
        ((json.dumps({"schema": 99}).encode(), good_csv), "schema 99"),
        ((good_json, b"step,loss\n1,2\n1,3\n"), "do not increase"),
        ((good_json, b"a,b\n"), "history"),
        ((good_json, good_csv, b"PK"), "samples"),
        ((good_json, good_csv, three), "only the plane"),
    ):
        with pytest.raises(ValueError, match=reason):
            reading.read_loose(*parts)


@given(st.data())
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_anywhere_is_a_value_error(archive, data):
    damaged = bytearray(archive)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    for content in (bytes(damaged), bytes(damaged[:cut])):
        with contextlib.suppress(ValueError):  # damage to a date, for example, is none
            reading.read_zip(content)


def test_no_file_is_larger_than_its_limit(files):
    assert all(len(file.content) < reading.MAX_FILE_BYTES for file in files.values())
    assert Path(files["Run folder (zip)"].name).suffix == ".zip"


def test_the_server_lets_an_import_through():
    """A widget's own limit cannot exceed the server's: the upload would fail where nobody sees it."""
    config = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())
    assert config["server"]["maxUploadSize"] == reading.MAX_UPLOAD_MB
