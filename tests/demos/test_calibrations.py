"""The embedded model's calibrations that ship for the demo fit the words that the demo has now."""

from __future__ import annotations

from astrasim.demos.companion.calibrate import bases
from astrasim.gateway.calibration import SHIPPED, CalibrationStore


def test_each_role_that_asks_a_model_is_calibrated() -> None:
    store = CalibrationStore(SHIPPED / "nothing of the user's")
    missing = [scope.role for scope, basis in bases() if store.load(basis).done < len(basis.prompts)]
    assert not missing, "run python -m astrasim.demos.companion.calibrate"


def test_none_is_kept_for_words_that_are_no_more() -> None:
    assert {file.name for file in SHIPPED.glob("*.json")} == {f"{basis.digest()}.json" for _, basis in bases()}
