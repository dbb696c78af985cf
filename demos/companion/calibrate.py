"""Makes the calibrations of the embedded model that ship for this demo; to be run when its words have changed.

    python -m astrasim.demos.companion.calibrate

takes about 20 s of one core for each role. ``tests/demos/test_calibrations.py`` says when it is time to.
"""

from __future__ import annotations

from collections.abc import Iterator

from astrasim.compiled import compile_domain
from astrasim.gateway.calibration import SHIPPED, Basis, CalibrationStore, Tally, basis_of
from astrasim.vocabulary import Scope

from .minds import game


def bases() -> Iterator[tuple[Scope, Basis]]:
    """What there is to calibrate: each role that has a heuristic, and so something to choose from."""
    compiled = compile_domain(game)
    for role in compiled.roles.values():
        for kind in role.kinds:
            if role.name in game.declared.heuristics:
                scope = compiled.scope(kind, role, "", "embedded")
                yield scope, basis_of(compiled.vocabulary, scope)


def main() -> None:
    """Make those that are missing, and throw away those of other words."""
    from astrasim.gateway import weights
    from astrasim.gateway.llama import Branches, load

    llama = load(weights.find_or_fetch(), 1)
    store, kept = CalibrationStore(SHIPPED), set()
    for scope, basis in bases():
        kept.add(f"{basis.digest()}.json")
        if store.load(basis).done == len(basis.prompts):
            continue
        print(f"calibrating role {scope.role}", flush=True)
        tally, branches = Tally(), Branches(basis.lines, llama.tokenise)
        for text in basis.prompts:
            tally.add(branches.weigh(llama, text, basis.lines)[0])
        store.save(basis, tally, f"{weights.NAME}: {scope.domain}, role {scope.role}, kind {scope.kind}")
    for file in SHIPPED.glob("*.json"):
        if file.name not in kept:
            file.unlink()


if __name__ == "__main__":
    main()
