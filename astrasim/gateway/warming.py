"""Warming: the model is asked about situations beforehand, and its plans are put into a cache file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import numpy as np
from numpy.typing import NDArray

from ..errors import PlanRejected
from ..prompts import json_prompt
from ..reader import plan_schema
from ..recovery import recover_plan
from ..vocabulary import Scope, Vocabulary
from .cache_file import connect, refusing
from .disk import Disk
from .models import MAX_TOKENS, ModelError, is_chooser, open_model
from .spec import ModelSpec
from .travel import opened
from .vectors import centre

SAVE_S = 1.0
GIVE_UP_AFTER = 20
"""When so many answers failed and none came, the model is not there."""


class Situation(NamedTuple):
    """What to ask about. ``vector``: shape (features,), None for the middle of the key's buckets."""

    scope: Scope
    key: int
    vector: NDArray[np.float32] | None = None


class Warmed(NamedTuple):
    """What came of it: plans made; situations that had one; answers that failed; the last reason why."""

    made: int
    known: int
    failed: int
    why: str


def wanted_in(file: Path, namespace: str, vocabulary: Vocabulary, most: int) -> list[Situation]:
    """The situations that runs with this file had no plan for, those that were met most often first.

    Raises:
        CacheRefused: the file cannot be used.
    """
    with refusing(file):
        connection = connect(file)
        rows = connection.execute(
            "SELECT scopes.scope, key, vector FROM wanted JOIN scopes ON scopes.id = wanted.scope WHERE namespace = ? "
            "ORDER BY times DESC LIMIT ?", (namespace, most),
        ).fetchall()  # fmt: skip
        connection.close()
    found = [Situation(Scope.model_validate_json(text), key, np.frombuffer(v, np.float32)) for text, key, v in rows]
    return [each for each in found if each.vector is not None and _fits(each, vocabulary)]


def _fits(situation: Situation, vocabulary: Vocabulary) -> bool:
    kind, vector = situation.scope.kind, situation.vector
    return kind in vocabulary.kinds and vector is not None and len(vector) == len(vocabulary.packing(kind))


async def warm(
    file: Path, namespace: str, vocabulary: Vocabulary, situations: Sequence[Situation], spec: ModelSpec, *,
    at_a_time: int, deadline_s: float, tell: Callable[[str], None], progress: Callable[[int], None],
) -> Warmed:  # fmt: skip
    """Ask about each of ``situations`` that has no plan, and save what comes, a second's work at a time. Cancelled, it
    has saved all that came.

    Args:
        tell: takes what the model is busy with, for people.
        progress: is told how many are done.

    Raises:
        CacheRefused: the file cannot be used.
        ModelError: the model cannot be asked, or cannot answer without a game (the embedded one only chooses).
    """
    store = opened(file, namespace, vocabulary)
    disk = store.saver
    assert isinstance(disk, Disk)
    todo = [each for each in situations if store.get(store.intern(each.scope), each.key) is None]
    known, made, failed, why, saved_s = len(situations) - len(todo), 0, 0, "", time.monotonic()
    progress(known)
    model = await open_model(spec, at_a_time, tell)
    if is_chooser(model):
        raise ModelError("no_model", f"the {spec} only chooses among what is legal in a game, so nothing can be asked")
    slots = anyio.Semaphore(at_a_time)

    async def ask(situation: Situation) -> None:
        nonlocal made, failed, why, saved_s
        scope, key, vector = situation
        try:
            with anyio.fail_after(deadline_s):
                prompt, schema = json_prompt(vocabulary, scope, key), plan_schema(vocabulary, scope)
                answer = await model.complete(prompt, schema, MAX_TOKENS)
            there = centre(vocabulary, scope.kind, key) if vector is None else vector
            store.put(store.intern(scope), key, there, recover_plan(answer.text, vocabulary, scope))
            disk.met(store.intern(scope), key)
            made += 1
        except (ModelError, PlanRejected, TimeoutError) as error:
            failed, why = failed + 1, str(error) or f"no answer within {deadline_s:g} s"
        finally:
            slots.release()
        progress(known + made + failed)
        if time.monotonic() - saved_s > SAVE_S:
            saved_s = time.monotonic()
            disk.save()

    try:
        async with anyio.create_task_group() as tasks:
            for situation in todo:
                await slots.acquire()
                if failed >= GIVE_UP_AFTER and not made:
                    slots.release()
                    break
                tasks.start_soon(ask, situation)
    finally:
        disk.save()
        disk.close()
    return Warmed(made, known, failed, why)
