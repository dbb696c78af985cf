"""What the gateway is told about the plan cache, and what may be kept together."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..errors import AstraSimError
from ..vocabulary import Vocabulary

EMBEDDER = "all-MiniLM-L6-v2 53aa51172d142c89"
"""What makes vectors of orders; vectors of different embedders must not be compared."""


class Keeping(BaseModel):
    """How plans are kept behind the gateway; :class:`~astrasim.Settings` says what each field means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entries: int = 10_000
    ttl_s: float | None = None
    ttl_renews: bool = False
    namespace: str = ""
    file: Path | None = None
    near_bound: float | None = None
    orders: bool = False

    @property
    def can_recall(self) -> bool:
        """Whether anything can be found that the tick's own cache, which is larger, does not have."""
        return self.file is not None or self.near_bound is not None or self.orders

    @property
    def memory_mb(self) -> int:
        """What the gateway process may need for it, in MiB: the embedder, where it is installed, and about 1.5 kB a
        plan, its place in the index and its share of the file's pages included."""
        embedder = 1024 if self.orders and find_spec("sentence_transformers") is not None else 0
        return embedder + 3 * self.entries // 2048


class CacheRefused(AstraSimError):
    """A cache file that cannot be used here: it is damaged, or made for something else."""


def fingerprint(vocabulary: Vocabulary) -> str:
    """What must be equal before keys, vectors and steps of two runs mean the same. Weights and examples may differ."""
    meaning = vocabulary.model_dump(mode="json", include={"domain", "kinds", "features", "actions", "targets"})
    for feature in meaning["features"]:
        del feature["weight"]
    for action in meaning["actions"]:
        del action["about"], action["seconds"]
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def difference(theirs: Vocabulary, ours: Vocabulary) -> str:
    """In words, the first thing in which two vocabularies differ that :func:`fingerprint` looks at."""
    if theirs.domain != ours.domain:
        return f"it was made for the domain {theirs.domain!r}, this is {ours.domain!r}"
    for what, old, new in (
        ("kinds", theirs.kinds, ours.kinds),
        ("features", [f.name for f in theirs.features], [f.name for f in ours.features]),
        ("actions", [a.name for a in theirs.actions], [a.name for a in ours.actions]),
        ("targets", theirs.targets, ours.targets),
    ):
        if list(old) != list(new):
            changed = [f"without {n}" for n in old if n not in new] + [f"with {n}" for n in new if n not in old]
            return f"the {what} of {ours.domain!r} are others now: {', '.join(changed) or 'in another order'}"
    for before, now in zip(theirs.features, ours.features, strict=True):
        if before.model_copy(update={"weight": now.weight}) != now:
            return f"feature {now.name!r} of {ours.domain!r} has other buckets, words or kinds now"
    return f"an action of {ours.domain!r} has other targets or kinds now"
