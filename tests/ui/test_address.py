"""Addresses that are shared, and text of others on our pages."""

import re

import pytest

from toylab.ui import address, settings
from toylab.ui.text import plain


def test_plain_text_stays_plain():
    shown = plain("a_b *c* [x](http://y) <b> :red[z] `q` $x$ \n# h\x00")
    assert "\n" not in shown
    assert re.sub(r"\\(.)", r"\1", shown) == "a_b *c* [x](http://y) <b> :red[z] `q` $x$ # h"
    assert not re.search(r"(?<!\\)[_*\[\]<>`$#]", shown)
    assert len(plain("x" * 500)) == 80


def test_an_address_names_every_control_and_its_version():
    query = address.query({"dataset": "two_moons", "beta": 0.5, "lr": 1e-4, "seed": "nonsense", "width": 1e9})
    assert query["v"] == "1"
    assert set(query) == {"v", *settings.DEFAULTS}
    assert (query["dataset"], query["beta"], query["lr"]) == ("two_moons", "0.5", "0.0001")
    assert (query["seed"], query["width"]) == ("0", "256")
    assert settings.read_config(query) == settings.read_config(
        {"dataset": "two_moons", "beta": 0.5, "lr": 1e-4, "width": 256}
    )


@pytest.mark.parametrize("version", ["2", "0", "-1", "<script>", "1.0", "9" * 50])
def test_an_unknown_version_is_one_line(version):
    note = address.version_note(version)
    assert note.count("\n") == 0
    assert "what is valid in it was taken over" in note
    assert "<" not in note
    assert len(note) < 150


def test_a_known_or_absent_version_says_nothing():
    assert address.version_note("1") == address.version_note(None) == ""
