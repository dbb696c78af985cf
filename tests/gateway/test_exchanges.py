"""The log of exchanges, as a file on the disk."""

from __future__ import annotations

import json
from pathlib import Path

from astrasim.gateway.exchanges import ExchangeLog
from astrasim.prompts import Prompt


def written(path: Path) -> list[int]:
    return [json.loads(line)["request"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_it_grows_to_its_bound_and_one_older_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "exchanges.jsonl"
    for first in (0, 50):  # two games, one after the other
        log = ExchangeLog(path, lambda raw: raw, max_bytes=2000)
        for request in range(first, first + 50):
            log.write(request, Prompt("You are a sheep.", "A wolf is near."), "I would flee", "not_json", 12.0)
        log.close(10.0)
        assert not log.trouble
    older = path.with_name("exchanges.jsonl.1")
    assert sorted(tmp_path.iterdir()) == [path, older]
    assert max(path.stat().st_size, older.stat().st_size) <= 2000
    kept = written(older) + written(path)
    assert len(kept) > 10 and kept == list(range(100))[-len(kept) :], "the last, and none of them lost or torn"
