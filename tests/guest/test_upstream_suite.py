# SPDX-License-Identifier: GPL-2.0-or-later
"""MicroPython's own suite: the folders for every day; make test-upstream runs all of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from guest import registry
from guest.agent import Agent
from guest.say import UserError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "upstream"))

import suite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import LiveGuest

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def tests_mode(guest: LiveGuest) -> Iterator[tuple[str, int]]:
    """Load the shared guest's module in tests_mode for a while."""
    agent = Agent.of(registry.running(guest.name))
    suite.prepare(agent)
    host, port = str(guest.info["repl"]).rsplit(":", 1)
    try:
        yield host, int(port)
    finally:
        suite.load(agent)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("folder", ["basics", "stress", "thread", "io", "import"])
def test_upstream(folder: str, tests_mode: tuple[str, int]) -> None:
    rules = suite.read_rules()
    results = suite.run_folder(*tests_mode, folder, rules)
    verdict = suite.judge(results, [folder], rules)
    assert not verdict.wrong, verdict.wrong
    assert verdict.counts["pass"] > 5, verdict.counts


def test_a_rule_needs_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "skips.txt"
    path.write_text("# comment\n\nbasics/int*  big numbers\n!io/argv no argv\n~thread/x late\n")
    rules = suite.read_rules(path)
    assert [rule.mark for rule in rules] == ["", "!", "~"]
    found = suite.rule_of("basics/int1.py", rules)
    assert found and found.reason == "big numbers"
    assert suite.rule_of("basics/float1.py", rules) is None
    path.write_text("basics/int1\n")
    with pytest.raises(UserError, match="no reason"):
        suite.read_rules(path)
