"""The embedded model's choices, with a fake llama.cpp."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from astrasim.gateway import ModelSpec, embedded
from astrasim.gateway.calibration import CalibrationStore
from astrasim.gateway.embedded import Embedded, choose_step, open_embedded
from astrasim.gateway.llama import SLOTS, Branches, Llama, load
from astrasim.gateway.models import ModelError, is_chooser
from astrasim.prompts import choice_prompt, steps_of
from astrasim.vocabulary import Scope

if TYPE_CHECKING:
    from tests.gateway.conftest import Meadow

OPTIONS = ("flee threat", "rest home", "rest pasture")


def characters(text: str) -> list[int]:
    return [ord(c) for c in text]


class FakeEngine:
    """Stands in for ``xllamacpp.Server``, with characters for tokens: likes some of them more than others."""

    def __init__(self, liking: Callable[[str, str], float] = lambda text, character: 1.0) -> None:
        self.liking = liking
        self.prompts: list[str] = []
        self.says: list[Any] | None = None
        self.fails: Callable[[str], bool] = lambda text: False
        self.go_on = threading.Event()
        self.go_on.set()

    def handle_completions(self, body: dict[str, Any], told: Callable[[Any], bool]) -> None:
        """In three pieces, as llama.cpp: the prompt, the token, what it cost."""
        for message in self._messages(body):
            if told(message):
                return

    def _messages(self, body: dict[str, Any]) -> Iterator[Any]:
        text, *then = body["prompt"]
        text += "".join(map(chr, then))
        self.prompts.append(text)
        assert self.go_on.wait(20)
        if self.says is not None:
            yield from self.says
            return
        if self.fails(text):
            yield {"error": {"message": "out of memory"}}
            return
        yield {"choices": [{"logprobs": None}], "prompt_progress": {}}
        liked = {token: self.liking(text, chr(token)) for token, _ in body["logit_bias"]}
        found = [{"id": token, "prob": each / sum(liked.values())} for token, each in liked.items()]
        yield {"choices": [{"logprobs": {"content": [{"top_probs": found}]}}]}
        usage = {"prompt_tokens": len(text), "prompt_tokens_details": {"cached_tokens": len(text) - 9}}
        yield {"choices": [{"logprobs": None}], "usage": usage}

    def asked_about(self, text: str) -> int:
        return sum(text in prompt for prompt in self.prompts)


def prefer_flight(text: str, character: str) -> float:
    """Always likes to rest; with a wolf near a little less."""
    if character not in "fr":
        return 1.0
    return (0.1 if "a wolf is near" in text else 0.01) if character == "f" else 1.0


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(prefer_flight)


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return CalibrationStore(tmp_path / "calibrations")


def embedded_model(
    engine: FakeEngine,
    store: CalibrationStore,
    tell: Callable[[str], None] = lambda text: None,
    for_orders: FakeEngine | None = None,
) -> Embedded:
    for_orders = for_orders or FakeEngine(engine.liking)
    return Embedded(Llama(engine, characters), Llama(for_orders, characters), store, tell)


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "calibrations").glob("*"))


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not holds():
            await anyio.sleep(0.002)


async def refused(model: Embedded, meadow: Meadow, scope: Scope) -> str:
    """Why a question about ``scope`` gets no answer."""
    with pytest.raises(ModelError) as caught:
        await model.choose(meadow.vocabulary, scope, 1, OPTIONS)
    return caught.value.reason


def role(meadow: Meadow, name: str) -> Scope:
    """Another role that can do the same."""
    return meadow.scope().model_copy(update={"role": name})


async def answered(model: Embedded, meadow: Meadow, scope: Scope, key: int = 1) -> str:
    """The step chosen once the model is calibrated for ``scope``: of two, the heuristic's first is to rest."""
    with anyio.fail_after(20):
        while True:
            try:
                return (await model.choose(meadow.vocabulary, scope, key, ("rest home", "flee threat"))).text
            except ModelError as error:
                assert error.reason == "calibrating"
            await anyio.sleep(0.002)


def test_the_ways_through_the_branches_share_one_probability() -> None:
    lines = ("go gate", "go gates", "guard gate", "rest self")
    branches = Branches(lines, characters)
    engine = FakeEngine()
    logs, evaluated = branches.weigh(Llama(engine, characters), "I", lines)
    assert math.isclose(sum(map(math.exp, logs.values())), 1.0)
    assert math.isclose(math.exp(logs["rest self"]), 1 / 2)
    assert math.isclose(math.exp(logs["guard gate"]), 1 / 4)
    assert math.isclose(math.exp(logs["go gates"]), 1 / 8)
    assert len(engine.prompts) == 3 and evaluated == 27


def test_only_forks_on_the_way_are_evaluated() -> None:
    engine = FakeEngine()
    branches = Branches(OPTIONS, characters)
    branches.weigh(Llama(engine, characters), "I", ["flee threat"])
    assert engine.prompts == ["I "]
    branches.weigh(Llama(engine, characters), "I", ["flee threat", "rest home"])
    assert engine.prompts == ["I ", "I ", "I rest "]


def test_a_step_that_becomes_much_less_likely_than_the_other_never_breaks_the_sum() -> None:
    engine = FakeEngine(lambda text, character: 0.0 if character == "f" else 1.0)
    logs, _ = Branches(OPTIONS, characters).weigh(Llama(engine, characters), "I", OPTIONS)
    assert math.isfinite(logs["flee threat"]) and logs["flee threat"] < -60


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ([{"error": {"code": 400, "message": "no", "type": "invalid_request_error"}}], "bad_response"),
        ([{"error": {"message": "long", "type": "exceed_context_size_error"}}], "too_long"),
        ([{"error": "broken"}], "bad_response"),
        ([{"choices": []}], "bad_response"),
        ([{"choices": [{"logprobs": None}]}], "bad_response"),
        ([[]], "bad_response"),
        ([], "bad_response"),
    ],
)
def test_what_is_no_weighing_is_a_failure(says: Any, reason: str) -> None:
    engine = FakeEngine()
    engine.says = says
    with pytest.raises(ModelError) as caught:
        Llama(engine, characters).weigh("I", [], characters("fr"))
    assert caught.value.reason == reason


def test_the_action_that_gains_most_is_chosen_not_the_likeliest() -> None:
    logs = {"rest home": -0.1, "flee threat": -2.0}
    assert choose_step(logs, None) == "rest home"
    assert choose_step(logs, {"rest": -0.1, "flee": -4.0}) == "flee threat"


def test_of_equally_good_steps_the_heuristics_first_is_chosen() -> None:
    assert choose_step({"flee threat": -1.0, "rest home": -1.0}, None) == "flee threat"


def test_the_prompt_holds_the_situation_and_the_order_and_its_first_part_does_not(meadow: Meadow) -> None:
    scope = meadow.scope("You are timid.")
    ordered = scope.model_copy(update={"order": "stay >> here"})
    plain, told = choice_prompt(meadow.vocabulary, scope, 1), choice_prompt(meadow.vocabulary, ordered, 1)
    assert plain.system == told.system and "flee threat, rest home, rest pasture" in plain.system
    assert "You are timid." in plain.system
    assert "a wolf is near" in plain.user and "<<stay ›› here>>" in told.user


def test_until_it_is_calibrated_it_refuses_at_once_and_then_chooses(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore
) -> None:
    told: list[str] = []

    async def play() -> None:
        model = embedded_model(engine, store, told.append)
        assert is_chooser(model)
        engine.go_on.clear()
        for _ in range(3):
            with pytest.raises(ModelError, match=r"role grazer \(0 of 6\): heuristics decide") as caught:
                await model.choose(meadow.vocabulary, meadow.scope(), 1, OPTIONS)
            assert caught.value.reason == "calibrating"
        engine.go_on.set()
        assert await answered(model, meadow, meadow.scope()) == "flee threat"
        assert await answered(model, meadow, meadow.scope(), key=2) == "rest home"
        done = await model.choose(meadow.vocabulary, meadow.scope(), 1, OPTIONS)
        assert done.usage.prompt_tokens > 0 and done.usage.writing_ms > 0

    anyio.run(play)
    assert told[0] == "calibrating the model for role grazer: 0 of 6"
    assert told[-1] == ""


def test_a_calibration_is_kept_for_the_next_game_and_serves_every_order_and_persona(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore, tmp_path: Path
) -> None:
    async def play(*said: str) -> int:
        before = len(engine.prompts)
        model = embedded_model(engine, store)
        for each in said:
            await answered(model, meadow, meadow.scope(persona=each).model_copy(update={"order": each}))
        return len(engine.prompts) - before

    assert anyio.run(play, "", "stay", "run") == 3 * 2 + 6 * 2
    assert anyio.run(play, "") == 2
    (file,) = kept(tmp_path)
    file.write_text("{")
    assert anyio.run(play, "") == 2 + 6 * 2
    assert anyio.run(play, "") == 2
    assert kept(tmp_path) == [file]


def test_a_calibration_that_was_interrupted_goes_on_where_it_was_left(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore, tmp_path: Path
) -> None:
    async def leave_early() -> None:
        model = embedded_model(engine, store)
        engine.fails = lambda text: engine.asked_about("Situation: ") > 4 * 2  # the power, say
        await refused(model, meadow, meadow.scope())
        await until(lambda: all(known.work is None for known in model._known.values()))

    async def come_back() -> int:
        before, engine.fails = len(engine.prompts), lambda text: False
        model = embedded_model(engine, store)
        assert await answered(model, meadow, meadow.scope()) == "flee threat"
        return len(engine.prompts) - before

    anyio.run(leave_early)
    assert [file.name.endswith(".part.json") for file in kept(tmp_path)] == [True]
    assert anyio.run(come_back) == 2 * 2 + 2
    assert [file.name.endswith(".part.json") for file in kept(tmp_path)] == [False]
    assert anyio.run(come_back) == 2


def test_where_nothing_can_be_written_it_works_without_keeping(
    meadow: Meadow, engine: FakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")

    async def play() -> None:
        model = embedded_model(engine, CalibrationStore(tmp_path / "file"))
        assert await answered(model, meadow, meadow.scope()) == "flee threat"

    anyio.run(play)


def test_a_calibration_that_fails_says_so_to_whoever_asks(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore, tmp_path: Path
) -> None:
    told: list[str] = []
    engine.fails = lambda text: True

    async def play() -> None:
        model = embedded_model(engine, store, told.append)
        assert await refused(model, meadow, meadow.scope()) == "calibrating"
        await until(lambda: bool(told) and not told[-1])
        with pytest.raises(ModelError, match=r"cannot be calibrated for role grazer: .* out of memory"):
            await model.choose(meadow.vocabulary, meadow.scope(), 1, OPTIONS)

    anyio.run(play)
    assert kept(tmp_path) == []


def test_a_mistake_of_ours_in_a_calibration_is_said_and_leaves_nobody_waiting(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore, capfd: pytest.CaptureFixture[str]
) -> None:
    def tokenise(text: str) -> list[int]:
        raise ZeroDivisionError("oh no")

    async def play() -> None:
        model = Embedded(Llama(engine, tokenise), Llama(FakeEngine(), tokenise), store, lambda text: None)
        assert await refused(model, meadow, meadow.scope()) == "calibrating"
        await until(lambda: len(model._lane._background) == 0)
        assert await refused(model, meadow, meadow.scope()) == "gateway_error"

    anyio.run(play)
    assert "oh no" in capfd.readouterr().err


def test_however_many_roles_ask_each_has_one_calibration_and_those_forgotten_have_none(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_SCOPES", 5)

    async def play() -> None:
        model = embedded_model(engine, store)
        engine.go_on.clear()
        await refused(model, meadow, role(meadow, "first"))
        await until(lambda: engine.prompts != [])
        for _ in range(3):
            for number in range(12):
                await refused(model, meadow, role(meadow, f"number {number}"))
        assert len(model._lane._background) == 5
        assert {scope.role for scope in model._known} == {"first", *(f"number {n}" for n in (8, 9, 10, 11))}
        engine.go_on.set()
        await until(lambda: len(model._lane._background) == 0)

    anyio.run(play)
    assert len(engine.prompts) == 5 * 6 * 2


def test_a_scope_that_is_calibrated_is_answered_while_another_one_is_not(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore, tmp_path: Path
) -> None:
    async def play() -> None:
        model = embedded_model(engine, store)
        await answered(model, meadow, meadow.scope("I am known."))
        before = len(engine.prompts)
        for file in kept(tmp_path):  # or a role that can do the same would need no calibration
            file.unlink()
        await refused(model, meadow, role(meadow, "new"))
        while len(model._lane._background):
            await model.choose(meadow.vocabulary, meadow.scope("I am known."), 1, OPTIONS)
        turns = ["I am known." not in prompt for prompt in engine.prompts[before:] if prompt.endswith("is to ")]
        assert turns.count(True) == 6 and turns.count(False) >= 5

    anyio.run(play)


def test_an_order_is_answered_while_others_are_under_way_and_those_are_begun_again_after_it(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore
) -> None:
    done: list[str] = []
    for_orders = FakeEngine(engine.liking)

    async def play() -> None:
        model = embedded_model(engine, store, for_orders=for_orders)
        people = ("I am asked.", "I wait.", "I am ordered.")
        for persona in people:
            await answered(model, meadow, meadow.scope(persona), key=5)
        await until(lambda: not model._orders._background)  # what orders begin with is evaluated by then
        engine.prompts.clear()
        engine.go_on.clear()
        for_orders.go_on.clear()

        async def ask(persona: str, first: bool) -> None:
            completion = await model.choose(meadow.vocabulary, meadow.scope(persona), 1, OPTIONS, first)
            done.append(persona)
            assert (completion.waited_s > 0.04) == (not first), "the time until it is begun with is not the model's own"

        async with anyio.create_task_group() as tasks:
            for persona in people:
                tasks.start_soon(ask, persona, persona == "I am ordered.")
                await anyio.sleep(0.05)
            for_orders.go_on.set()
            await until(lambda: done != [])
            assert done == ["I am ordered."], "an order waits for nobody, however long it takes to stop"
            engine.go_on.set()

    anyio.run(play)
    assert done == ["I am ordered.", "I am asked.", "I wait."]
    assert engine.asked_about("I am asked.") == 1 + engine.asked_about("I wait.")
    assert engine.asked_about("I am ordered.") == 0


def test_what_orders_to_a_role_begin_with_is_evaluated_before_the_first_one_comes(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore
) -> None:
    for_orders = FakeEngine(engine.liking)
    beginnings = [choice_prompt(meadow.vocabulary, meadow.scope(f"I am {n}."), 1).system for n in range(SLOTS + 1)]

    async def play() -> None:
        model = embedded_model(engine, store, for_orders=for_orders)
        for number in (*range(SLOTS + 1), 0):
            await answered(model, meadow, meadow.scope(f"I am {number}."))
        await until(lambda: len(for_orders.prompts) >= SLOTS)
        ordered = meadow.scope("I am 0.").model_copy(update={"order": "stay"})
        await model.choose(meadow.vocabulary, ordered, 1, OPTIONS, True)

    anyio.run(play)
    assert for_orders.prompts[:SLOTS] == beginnings[:SLOTS], "once each, and no more than are remembered"
    assert for_orders.prompts[SLOTS].startswith(beginnings[0])


def test_a_calibration_makes_way_for_an_order_and_ends_all_the_same(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore, tmp_path: Path
) -> None:
    for_orders = FakeEngine(engine.liking)

    async def play() -> None:
        model = embedded_model(engine, store, for_orders=for_orders)
        await answered(model, meadow, meadow.scope("I am ordered."))
        for file in kept(tmp_path):  # or a role that can do the same would need no calibration
            file.unlink()
        engine.prompts.clear()
        engine.go_on.clear()
        await refused(model, meadow, role(meadow, "new"))
        await until(lambda: engine.prompts != [])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(model.choose, meadow.vocabulary, meadow.scope("I am ordered."), 1, OPTIONS, True)
            await until(lambda: for_orders.asked_about("is to ") == 2)
            assert model._lane.should_stop
            engine.go_on.set()
        assert engine.asked_about("I am ordered.") == 0
        assert await answered(model, meadow, role(meadow, "new")) == "flee threat"

    anyio.run(play)


def test_a_cancelled_request_is_left_behind_at_its_next_fork(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore
) -> None:
    async def play() -> None:
        model = embedded_model(engine, store)
        for persona in ("I am asked.", "I wait.", "I am next."):
            await answered(model, meadow, meadow.scope(persona), key=5)
        engine.prompts.clear()
        engine.go_on.clear()
        for persona in ("I am asked.", "I wait."):
            with anyio.move_on_after(0.05):
                await model.choose(meadow.vocabulary, meadow.scope(persona), 1, OPTIONS)
        engine.go_on.set()
        await model.choose(meadow.vocabulary, meadow.scope("I am next."), 1, OPTIONS)

    anyio.run(play)
    situation = "a wolf is near; you are tired"
    asked = [prompt for prompt in engine.prompts if situation in prompt]
    assert sum("I am asked." in prompt for prompt in asked[:2]) == 1
    assert engine.asked_about("I wait.") == 0
    assert sum("I am next." in prompt for prompt in asked) >= 2


def test_without_weights_it_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="astrasim model install") as caught:
        anyio.run(open_embedded, ModelSpec(kind="embedded"), print)
    assert caught.value.reason == "no_model"


def test_without_llama_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ModelError, match=r'pip install "astrasim\[embedded\]"') as caught:
        load(tmp_path / "no.gguf", 1)
    assert caught.value.reason == "no_model"


def test_another_name_is_no_model() -> None:
    with pytest.raises(ModelError, match="no embedded model 'gpt-7'"):
        anyio.run(open_embedded, ModelSpec(kind="embedded", name="gpt-7"), print)


def test_all_steps_of_a_scope_are_lines(meadow: Meadow) -> None:
    scope: Scope = meadow.scope()
    assert steps_of(meadow.vocabulary, scope) == OPTIONS
