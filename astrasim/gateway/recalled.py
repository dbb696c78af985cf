"""The game's side of what the gateway remembers: look-ups out, plans in. Nothing here waits, as in ``client.py``."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import AstraSimError
from ..reader import Steps
from ..vocabulary import MAX_KEY, Scope, Vocabulary
from .framing import Message
from .messages import is_number, read_steps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .recall import Recall

MAX_LOOKS = 64
"""Look-ups in one message, at most: their answers must fit into one."""
_WAITING = 4096

Pairs = Sequence[tuple[int, int]]
"""Situations, as (scope id, key)."""


class Look(NamedTuple):
    """A situation to look up, and the vector of an agent that is in it, shape (features,), if there is one."""

    scope_id: int
    key: int
    vector: NDArray[np.float32] | None


class Recalled(NamedTuple):
    """What a look-up came to. ``steps`` of None: nothing. ``level``: 0 exact, 1 near, 2 for an order that means the
    same. ``remaining_s``: how long the plan may be used for, None for ever."""

    scope_id: int
    key: int
    level: int
    steps: Steps | None
    remaining_s: float | None


class FalseHits(NamedTuple):
    """What is known of a role's near hits.

    ``bound``: how near is near enough, as it is now. ``samples``: hits within it that the model was asked about all the
    same; ``false``: those in which it had another first action or target; ``low`` and ``high``: Wilson's 95% interval
    of their share. ``enough``: whether that is enough evidence to say that the target of 1% is kept or missed.
    """

    bound: float
    samples: int
    false: int
    low: float
    high: float
    enough: bool


class MemoryStatistics(NamedTuple):
    """What the gateway remembers, as it said a second ago at most; all 0 before.

    ``looked``: situations looked up; ``exact``, ``near`` and ``order``: the plans found, by level. ``retired``: plans
    given up because their steps kept failing. ``age_s``: median and highest age of the plans. ``lookup_us``: p50 and
    p99 of the last look-ups, within the gateway. ``truth``: by role, of near hits; ``orders``: of plans found by
    another order.
    """

    looked: int = 0
    exact: int = 0
    near: int = 0
    order: int = 0
    retired: int = 0
    entries: int = 0
    evictions: int = 0
    expiries: int = 0
    age_s: tuple[float, ...] = (0.0, 0.0)
    lookup_us: tuple[float, ...] = (0.0, 0.0)
    truth: dict[str, FalseHits] = {}  # noqa: RUF012  (read only, like the rest)
    orders: dict[str, FalseHits] = {}  # noqa: RUF012


class Memory:
    """Look-ups behind the gateway. A look-up that is not answered within a fraction of a second is lost: look again."""

    def __init__(
        self, vocabulary: Vocabulary, scopes: Mapping[int, Scope], send: Callable[[Message, Pairs], bool]
    ) -> None:
        """``scopes`` are those declared so far, by number. ``send`` sends a message about these situations, if it can
        be sent now."""
        self._vocabulary, self._scopes, self._send = vocabulary, scopes, send
        self._found: deque[Recalled] = deque(maxlen=_WAITING)
        self._withdrawn: list[tuple[int, list[int]]] = []
        self.statistics = MemoryStatistics()

    def look(self, looks: Sequence[Look]) -> bool:
        """Look up to 64 situations up. Their answers come one by one from :meth:`found`.

        Returns:
            False if that was not possible now: nothing was sent.
        """
        there = b"".join(look.vector.astype("<f4").tobytes() for look in looks if look.vector is not None)
        asked = [[int(look.scope_id), int(look.key), 0 if look.vector is None else len(look.vector)] for look in looks]
        message = {"t": "look", "q": asked, "v": base64.b64encode(there).decode("ascii")}
        return self._send(message, [look[:2] for look in looks])

    def found(self) -> list[Recalled]:
        """What look-ups came to since the last call."""
        found = list(self._found)
        self._found.clear()
        return found

    def withdrawn(self) -> list[tuple[int, list[int]]]:
        """Since the last call: levels, and the scopes in which plans found at that level are not trusted any more. Who
        wants one looks it up again."""
        withdrawn, self._withdrawn = self._withdrawn, []
        return withdrawn

    def used(self, pairs: Pairs) -> None:
        """Plans for these situations are of use: they stay longer than others."""
        self._send({"t": "used", "q": [[int(scope), int(key)] for scope, key in pairs]}, pairs)

    def retire(self, pairs: Pairs) -> None:
        """The steps of the plans for these situations keep failing: forget them."""
        self._send({"t": "retire", "q": [[int(scope), int(key)] for scope, key in pairs]}, pairs)

    def accept(self, message: Message) -> bool:
        """Take a message from the gateway, which may be anything; False if it makes no sense."""
        if message.get("t") == "memory":
            read = _read_statistics(message)
            self.statistics = read or self.statistics
            return read is not None
        if message.get("t") == "withdraw":
            level, scopes = message.get("level"), message.get("q")
            if level not in (1, 2) or not isinstance(scopes, list) or not all(type(each) is int for each in scopes):
                return False
            self._withdrawn = [*self._withdrawn[1 - _WAITING :], (int(level), [n for n in scopes if 0 <= n < 2**31])]
            return True
        answers = message.get("a")
        if not isinstance(answers, list) or len(answers) > MAX_LOOKS:
            return False
        found = [_read_recalled(answer, self._vocabulary, self._scopes) for answer in answers]
        self._found.extend(each for each in found if each is not None)
        return None not in found


def answer_looks(recall: Recall, message: Message) -> list[list[Any]]:
    """In the gateway: the answers to a ``look`` message."""
    import numpy as np  # only in the gateway: a game that imports its side of it need not wait for numpy

    there = np.frombuffer(base64.b64decode(message["v"]), "<f4")
    answers, first = [], 0
    for scope_id, key, width in message["q"]:
        vector = there[first : first + width] if width else None
        first += width
        found = None
        with recall.surviving():
            if recall.knows(scope_id):
                try:
                    found = recall.look(scope_id, key, vector)
                except AstraSimError:  # a feature of the game that is no number
                    found = recall.look(scope_id, key, None)
        answers.append([scope_id, key, *(found or ())])
    return answers


def _read_recalled(answer: object, vocabulary: Vocabulary, scopes: Mapping[int, Scope]) -> Recalled | None:
    if not isinstance(answer, list) or len(answer) not in (2, 5):
        return None
    scope_id, key = answer[:2]
    # These go into columns of the tick, of int32 and int64.
    if type(scope_id) is not int or type(key) is not int or not (0 <= scope_id < 2**31 and 0 <= key < MAX_KEY):
        return None
    if len(answer) == 2:
        return Recalled(scope_id, key, 0, None, None)
    if (scope := scopes.get(scope_id)) is None:
        return None
    level, steps, remaining_s = answer[2], read_steps(answer[3], vocabulary, scope), answer[4]
    if level not in (0, 1, 2) or steps is None or not (remaining_s is None or is_number(remaining_s)):
        return None
    return Recalled(scope_id, key, int(level), steps, remaining_s)


def _read_statistics(message: Message) -> MemoryStatistics | None:
    values = {name: message.get(name) for name in MemoryStatistics._fields}
    counts = [values[name] for name in MemoryStatistics._fields[:8]]
    pairs = [values["age_s"], values["lookup_us"]]
    if not all(type(count) is int and is_number(count) for count in counts):
        return None
    if not all(isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair)) for pair in pairs):
        return None
    truth, orders = _read_roles(values["truth"]), _read_roles(values["orders"])
    if truth is None or orders is None:
        return None
    return MemoryStatistics(**(values | {"truth": truth, "orders": orders}))  # type: ignore[arg-type]  # looked at above


def _read_roles(value: object) -> dict[str, FalseHits] | None:
    if not isinstance(value, dict):
        return None
    for row in value.values():
        if not isinstance(row, list) or len(row) != 6 or not all(map(is_number, row[:5])) or type(row[5]) is not bool:
            return None
    return {role: FalseHits(*row) for role, row in value.items()}
