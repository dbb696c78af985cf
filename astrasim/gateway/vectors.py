"""Vectors of situations, as the plan cache compares them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..vocabulary import Vocabulary


def centre(vocabulary: Vocabulary, kind: str, key: int) -> NDArray[np.float32]:
    """The vector in the middle of a key's buckets, shape (features of the kind,): what the model was told, no more."""
    return np.array([(key // m % n + 0.5) / n for _, m, n in vocabulary.packing(kind)], np.float32)


def weights(vocabulary: Vocabulary, kind: str) -> NDArray[np.float32]:
    """The weight of each feature of ``kind``."""
    return np.array([vocabulary.features[i].weight for i, _, _ in vocabulary.packing(kind)], np.float32)
