"""The embedded model's choices: with a fake llama.cpp, and (where it is installed) with the real one."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import psutil
import pytest

from astrasim.gateway import Answer, ModelSpec, weights
from astrasim.gateway.calibration import SITUATIONS, Basis, CalibrationStore, by_action, situations
from astrasim.gateway.embedded import Embedded, choose_step, open_embedded
from astrasim.gateway.lane import Lane
from astrasim.gateway.llama import Branches, Llama, load
from astrasim.gateway.models import Chooser, ModelError
from astrasim.prompts import choice_prompt, steps_of
from astrasim.vocabulary import Scope, Vocabulary

if TYPE_CHECKING:
    from tests.gateway.conftest import Game, Meadow

OPTIONS = ("flee threat", "rest home", "rest pasture")


def characters(text: str) -> list[int]:
    return [ord(c) for c in text]


class FakeEngine:
    """Stands in for ``xllamacpp.Server``, with characters for tokens: likes some of them more than others."""

    def __init__(self, liking: Callable[[str, str], float] = lambda text, character: 1.0) -> None:
        self.liking = liking
        self.prompts: list[str] = []
        self.says: Any = None
        self.fails: Callable[[str], bool] = lambda text: False
        self.go_on = threading.Event()
        self.go_on.set()

    def handle_completions(self, body: dict[str, Any]) -> Any:
        text, *then = body["prompt"]
        text += "".join(map(chr, then))
        self.prompts.append(text)
        assert self.go_on.wait(20)
        if self.says is not None:
            return self.says
        if self.fails(text):
            return {"error": {"message": "out of memory"}}
        liked = {token: self.liking(text, chr(token)) for token, _ in body["logit_bias"]}
        found = [{"id": token, "prob": each / sum(liked.values())} for token, each in liked.items()]
        return {
            "choices": [{"logprobs": {"content": [{"top_probs": found}]}}],
            "usage": {"prompt_tokens": len(text), "prompt_tokens_details": {"cached_tokens": len(text) - 9}},
        }

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


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "calibrations").glob("*"))


async def calibrated(model: Embedded) -> None:
    with anyio.fail_after(20):
        while not model._known or any(known.bias is None for known in model._known.values()):
            await anyio.sleep(0.005)


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
        ({"error": {"code": 400, "message": "no", "type": "invalid_request_error"}}, "bad_response"),
        ({"error": {"message": "long", "type": "exceed_context_size_error"}}, "too_long"),
        ({"error": "broken"}, "bad_response"),
        ({"choices": []}, "bad_response"),
        ({"choices": [{"logprobs": None}]}, "bad_response"),
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


def test_an_actions_probability_is_that_of_all_its_steps() -> None:
    found = by_action({"rest home": math.log(0.25), "rest pasture": math.log(0.25), "flee threat": math.log(0.5)})
    assert math.isclose(found["rest"], found["flee"])


def test_the_prompt_holds_the_situation_and_the_order_and_its_first_part_does_not(meadow: Meadow) -> None:
    scope = meadow.scope("You are timid.")
    ordered = scope.model_copy(update={"order": "stay >> here"})
    plain, told = choice_prompt(meadow.vocabulary, scope, 1), choice_prompt(meadow.vocabulary, ordered, 1)
    assert plain.system == told.system and "flee threat, rest home, rest pasture" in plain.system
    assert "You are timid." in plain.system
    assert "a wolf is near" in plain.user and "<<stay ›› here>>" in told.user


def test_it_chooses_at_once_and_better_once_calibrated(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore
) -> None:
    told: list[str] = []

    async def play() -> None:
        model = Embedded(Llama(engine, characters), store, told.append)
        assert isinstance(model, Chooser)
        ask = (meadow.vocabulary, meadow.scope(), 1, ("rest home", "flee threat"))
        first = await model.choose(*ask)
        assert first.text == "rest home"
        assert first.usage.prompt_tokens > 0 and first.usage.writing_ms > 0
        await calibrated(model)
        assert (await model.choose(*ask)).text == "flee threat"
        assert (await model.choose(meadow.vocabulary, meadow.scope(), 2, ask[3])).text == "rest home"

    anyio.run(play)
    assert told[0] == "calibrating the model for role grazer: 0 of 6"
    assert told[-1] == ""


def test_a_calibration_is_kept_for_the_next_game_and_serves_every_order(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore, tmp_path: Path
) -> None:
    async def play(*orders: str) -> int:
        before = len(engine.prompts)
        model = Embedded(Llama(engine, characters), store, lambda text: None)
        for order in orders:
            scope = meadow.scope().model_copy(update={"order": order})
            await model.choose(meadow.vocabulary, scope, 1, ("rest home", "flee threat"))
        await calibrated(model)
        return len(engine.prompts) - before

    assert anyio.run(play, "", "stay", "run") == 3 * 2 + 6 * 2
    assert anyio.run(play, "") == 2
    (file,) = kept(tmp_path)
    for damage in ("", "{", "[]", '{"bias": {"flee": -1}}', '{"bias": {"flee": -1, "rest": NaN}}', "\0\xff"):
        file.write_text(damage, encoding="latin-1")
        assert anyio.run(play, "") == 2 + 6 * 2, damage
        assert anyio.run(play, "") == 2
    assert kept(tmp_path) == [file]


def test_what_a_calibration_depends_on_gives_it_another_name() -> None:
    basis = Basis("weights", ("one", "two"), ("flee threat",))
    others = [basis._replace(weights="w"), basis._replace(prompts=("one",)), basis._replace(lines=("rest home",))]
    assert len({each.digest() for each in [basis, *others, basis]}) == 4


def test_where_nothing_can_be_written_it_works_without_keeping(
    meadow: Meadow, engine: FakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")

    async def play() -> None:
        model = Embedded(Llama(engine, characters), CalibrationStore(tmp_path / "file"), lambda text: None)
        await model.choose(meadow.vocabulary, meadow.scope(), 1, OPTIONS)
        await calibrated(model)

    anyio.run(play)


def test_a_calibration_that_fails_leaves_the_model_uncalibrated(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore, tmp_path: Path
) -> None:
    told: list[str] = []
    engine.fails = lambda text: "a wolf is near" not in text

    async def play() -> None:
        model = Embedded(Llama(engine, characters), store, told.append)
        assert (await model.choose(meadow.vocabulary, meadow.scope(), 1, OPTIONS)).text in OPTIONS
        with anyio.fail_after(20):
            while not told or told[-1]:
                await anyio.sleep(0.005)
        assert (await model.choose(meadow.vocabulary, meadow.scope(), 1, OPTIONS)).text in OPTIONS

    anyio.run(play)
    assert kept(tmp_path) == []


def test_a_cancelled_request_is_left_behind_at_its_next_fork(
    meadow: Meadow, engine: FakeEngine, store: CalibrationStore
) -> None:
    async def play() -> None:
        model = Embedded(Llama(engine, characters), store, lambda text: None)
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


def test_requests_go_before_background_work_which_ends_all_the_same() -> None:
    done: list[str] = []

    def work() -> Iterator[None]:
        for _ in range(2):
            done.append("w")
            yield

    async def play() -> None:
        lane, ready = Lane("test"), threading.Event()

        async def ask(what: str) -> None:
            await lane.run(lambda given_up: done.append(what))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lane.run, lambda given_up: ready.wait(20))
            await anyio.sleep(0.02)
            lane.in_background(work())
            for _ in range(20):  # somebody always waits
                tasks.start_soon(ask, "r")
            await anyio.sleep(0.02)
            ready.set()

    anyio.run(play)
    assert "".join(done) == "rrr" + "w" + "rrrr" + "w" + "r" * 13


def test_background_work_that_raises_does_not_end_the_lane(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> Iterator[None]:
        yield
        raise ValueError("oh no")

    async def play() -> int:
        lane = Lane("test")
        lane.in_background(work())
        await anyio.sleep(0.02)
        return await lane.run(lambda given_up: 42)

    assert anyio.run(play) == 42
    assert "oh no" in capfd.readouterr().err


def test_a_small_key_space_is_calibrated_over_all_of_it_and_a_large_one_over_some(meadow: Meadow) -> None:
    assert situations(meadow.vocabulary, meadow.scope()) == list(range(6))
    feature = meadow.vocabulary.features[0]
    many = meadow.vocabulary.model_copy(
        update={"features": tuple(feature.model_copy(update={"name": f"f{i}"}) for i in range(6))}
    )
    many = Vocabulary(**many.model_dump())
    assert len(set(situations(many, meadow.scope()))) == SITUATIONS
    assert situations(many, meadow.scope()) == situations(many, meadow.scope())


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


def needs_the_real_model() -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed: pip install 'astrasim[embedded]'")
    if weights.find() is None:
        pytest.skip(f"no weights at {weights.path()}: astrasim model install")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    needs_the_real_model()
    (tmp_path / "bad.gguf").write_bytes(b"GGUF nonsense")
    with pytest.raises(ModelError, match="does not load") as caught:
        load(tmp_path / "bad.gguf", 1)
    assert caught.value.reason == "no_model"


def test_the_gateway_with_the_real_model_chooses_one_of_the_options(
    play_a_game: Callable[..., Game], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs_the_real_model()
    real = weights.path()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # what is calibrated here is nobody's
    weights.path().parent.mkdir(parents=True)
    weights.path().symlink_to(real)
    game = play_a_game(ModelSpec(kind="embedded")).up()
    steps = [(0, 0), (1, 1), (1, 2)]
    for request_id, key in enumerate(range(6), start=1):
        assert game.gateway.ask(request_id, 1, key, 20.0, steps)
    for request_id in range(1, 7):
        answer = game.answer(request_id)
        assert isinstance(answer, Answer)
        assert answer.steps[0][:2] in steps and len(answer.steps) == 1
        assert answer.raw in OPTIONS
        assert answer.usage.prompt_tokens > 0
    _the_port_wants_a_key(game)


def _the_port_wants_a_key(game: Game) -> None:
    open_ones = psutil.Process(game.gateway.pid).net_connections()
    for ip, port in (each.laddr for each in open_ones if each.status == psutil.CONN_LISTEN):
        assert ip == "127.0.0.1"
        for path in ("/v1/chat/completions", "/completion", "/tokenize"):
            said = httpx.post(f"http://{ip}:{port}{path}", json={"prompt": "x", "content": "x"}, trust_env=False)
            assert said.status_code == 401, path


def test_the_real_model_weighs_real_lines() -> None:
    needs_the_real_model()
    file = weights.find()
    assert file is not None
    llama = load(file, 1)
    lines = ("attack foe", "approach foe", "approach flag", "reload self")
    branches = Branches(lines, llama.tokenise)
    start = time.perf_counter()
    logs, evaluated = branches.weigh(llama, "The king said: attack the foe! So you", lines)
    assert math.isclose(sum(map(math.exp, logs.values())), 1.0, rel_tol=1e-3)
    assert max(logs, key=logs.__getitem__) == "attack foe"
    assert evaluated < 30 and time.perf_counter() - start < 20
    again, evaluated = branches.weigh(llama, "The king said: attack the foe! So you", lines)
    assert again == pytest.approx(logs, abs=0.05)
    assert evaluated <= 4, "the beginning was evaluated again"


def test_all_steps_of_a_scope_are_lines(meadow: Meadow) -> None:
    scope: Scope = meadow.scope()
    assert steps_of(meadow.vocabulary, scope) == OPTIONS
