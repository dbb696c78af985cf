"""Which scopes differ in nothing but orders that mean the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from ..errors import WeightsError
from ..vocabulary import Scope
from .intents import frame, same_intent


class Orders:
    """Compares orders in a thread of its own, which loads the embedder if it is needed. Each new one is compared with
    those before it that its plans could be shared with, and of them only with those whose words other than the verb
    are the same: the others mean something else whatever the verb is."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._to_do: SimpleQueue[tuple[int, Scope]] = SimpleQueue()
        self._found: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self._embedder: Any = None
        threading.Thread(target=self._run, name="astrasim-orders", daemon=True).start()

    def add(self, number: int, scope: Scope) -> None:
        """A scope with an order, by its number in the store."""
        self._to_do.put((number, scope))

    def found(self) -> list[tuple[int, int]]:
        """Pairs of numbers whose orders were found to mean the same since the last call."""
        return [self._found.get() for _ in range(self._found.qsize())]

    def _run(self) -> None:
        families: dict[tuple[Scope, tuple[str, ...]], list[tuple[int, str]]] = {}
        while True:
            new, scope = self._to_do.get()
            family = families.setdefault((scope.model_copy(update={"order": ""}), frame(scope.order).rest), [])
            for old, order in family:
                if same_intent(scope.order, order, self._cosine):
                    self._found.put((new, old))
            family.append((new, scope.order))

    def _cosine(self, one: str, other: str) -> float:
        if self._embedder is None:
            from .embedding import Embedder

            try:
                self._embedder = Embedder()
            except WeightsError as error:
                self._tell(f"orders with verbs that are not known are not compared: {error}")
                self._embedder = False
        return self._embedder.cosine(one, other) if self._embedder else 0.0
