"""What the page in the browser is told, asked without a browser."""

import json

import pytest

from tests.conftest import FIXTURES
from web.answer import answer, asked

BOARD = (FIXTURES / "dtb" / "hosts" / "06c-1G-dom0-640M.dtb").read_bytes()


def said(words: dict[str, str], data: bytes = BOARD, name: str = "board.dtb") -> dict[str, str]:
    found: dict[str, str] = json.loads(answer(name, data, json.dumps(words)))
    return found


def test_the_recorded_board_on_the_release_it_failed_on() -> None:
    """Recorded: dom0 of Xen 4.20 with 640 MiB of 1 GiB gets regions that hold no section, and every mapping fails."""
    found = said({"xen": "4.20", "linux": "6.12"})
    assert found["verdict"] == "exhausted" and "exhausted" in found["text"] and found["map"].startswith("<!doctype html>")
    assert found["command"] == "dtanalyze check board.dtb --xen 4.20 --linux 6.12"


def test_words_become_arguments() -> None:
    assert asked({"memory": "0x40000000+1G, 0x80000000+1G", "iommu": "off", "xen": " ", "dom0-mem": "1G"}) == {
        "memory": ("0x40000000+1G", "0x80000000+1G"),
        "iommu": False,
        "dom0_mem": "1G",
    }


def test_a_name_cannot_leave_the_command() -> None:
    assert said({}, name="a b;c.dtb")["command"] == "dtanalyze check 'a b;c.dtb'"


@pytest.mark.parametrize(
    ("words", "data"), [({}, BOARD[:100]), ({}, b""), ({"xen": "9.99"}, BOARD), ({"memory": "nonsense"}, BOARD)]
)
def test_what_cannot_be_answered_is_one_sentence(words: dict[str, str], data: bytes) -> None:
    found = said(words, data)
    assert "text" not in found and "\n" not in found["error"]
    assert found["error"].startswith("board.dtb: ")
