"""``python -m astrasim.perf.kernels``: what each kernel costs, and whether one has become slower."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from astrasim.perf import kernels
from astrasim.perf.kernels import CALLED, OF_LOOKING, REFERENCE, measure, ratios, slower


def test_every_kernel_of_a_tick_and_the_reference_are_timed() -> None:
    ns = measure(600, ticks=40)
    assert set(ns) == {*OF_LOOKING, *CALLED, REFERENCE}
    assert all(value > 0 for value in ns.values())


def test_a_measurement_leaves_the_systems_as_they_were() -> None:
    module = sys.modules["astrasim.systems.action"]
    before = vars(module)["act"]
    measure(300, ticks=2)
    assert vars(module)["act"] is before


def test_only_what_is_clearly_slower_than_recorded_is_told() -> None:
    now = ratios({"act": 30.0, "finish": 3.0, REFERENCE: 10.0})
    assert now == {"act": 3.0, "finish": 0.3}
    assert slower(now, {"act": 2.5, "finish": 0.3, "gone": 1.0}) == []
    [told] = slower(now, {"act": 1.0, "finish": 0.3})
    assert told.startswith("act: 3.00 times")


@pytest.mark.parametrize(("recorded", "exit_code"), [(1e9, 0), (1e-9, 1)])
def test_a_check_fails_where_a_kernel_is_slower_than_recorded(
    recorded: float, exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "TICKS", 5)
    monkeypatch.setattr(kernels, "RECORDED_AGENTS", 300)
    monkeypatch.setattr(kernels, "RECORDED", tmp_path / "ratios.json")
    (tmp_path / "ratios.json").write_text(f'{{"{kernels.processor()}": {{"act": {recorded}}}}}')
    app = typer.Typer()
    app.command()(kernels.main)
    assert CliRunner().invoke(app, ["--check"]).exit_code == exit_code
