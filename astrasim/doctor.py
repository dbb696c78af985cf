"""``astrasim doctor``: what is installed, which settings hold and why, which model answers and how well."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import NamedTuple

from pydantic import SecretStr

from .compiled import compile_domain
from .domain import Domain
from .errors import SettingsError
from .examples import with_examples
from .gateway import Answer, Failure, Gateway, GatewayState, ModelSpec
from .gateway.ollama_host import ollama_url, probe_ollama
from .model_choice import (
    PROBE_S,
    choose_model,
    embedded_lacks,
    embedded_spec,
    is_pulled,
    ollama_spec,
    openai_spec,
)
from .settings import Settings, origin
from .situation import Situation

DECISIONS = 5
PATIENCE_S = 60.0
CALIBRATION_S = 180.0
"""A model that has to be calibrated first (17 s with a core of its own) is waited for."""
ENOUGH_S = 20.0
"""A slow model is asked until so much time has passed, not ``DECISIONS`` times."""

EXTRAS = {
    "": ("esper", "numpy", "numba", "aiohttp", "httpx", "anyio", "pydantic", "psutil"),
    "demo": ("pygame",),
    "embedded": ("xllamacpp",),
    "perf": ("starlette", "uvicorn"),
    "semantic": ("hnswlib", "sentence-transformers"),
}
"""The packages of each extra; "" for those that are always there."""


class Finding(NamedTuple):
    """One line of the diagnosis. ``remedy`` is the command that mends it, "" where nothing is to be mended."""

    what: str
    state: str
    remedy: str = ""


class Decisions(NamedTuple):
    """What came of asking a model: milliseconds for each answer, tokens a second (written, or evaluated by a model that
    chooses; 0 if it does not say), what it said last, why the others failed, and what a game says by then of a model
    that is given a rest (else "")."""

    latency_ms: list[float]
    tokens_per_s: float
    last: str
    failures: list[str]
    unavailable: str = ""

    def __str__(self) -> str:
        asked = len(self.latency_ms) + len(self.failures)
        text = f"{len(self.latency_ms)} of {asked} decisions valid"
        if self.latency_ms:
            rate = f", {self.tokens_per_s:.0f} tokens/s" if self.tokens_per_s else ""
            text += f", median {statistics.median(self.latency_ms):.0f} ms{rate}; the last: {self.last}"
        text += f"; failed: {self.failures[-1]}" if self.failures else ""
        return text + (f"; {self.unavailable}" if self.unavailable else "")


def parts() -> Iterator[Finding]:
    """Python and the packages, with their versions."""
    yield Finding("Python", f"{platform.python_version()} on {platform.platform()}, {sys.executable}")
    yield Finding("astrasim", importlib.metadata.version("astrasim"))
    for extra, packages in EXTRAS.items():
        for package in packages:
            try:
                yield Finding(package, importlib.metadata.version(package))
            except importlib.metadata.PackageNotFoundError:
                yield Finding(package, f"not installed (extra {extra})", f"pip install 'astrasim[{extra}]'")


def settings_in_force(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Each setting with its value and where that comes from; keys and addresses' passwords are not shown."""
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            shown = "***"
        elif name in ("base_url", "ollama_url") and value:
            shown = value.rpartition("@")[2]
        else:
            shown = repr(value)
        yield name, shown, origin(name) or "default"


def models(settings: Settings, tell: Callable[[str], object], ask: bool = True) -> Iterator[Finding]:
    """Each model's state, and if ``ask`` a few measured decisions of those that are there.

    Args:
        tell: is told what is being waited for.
    """
    if settings.model.startswith("function:"):
        spec, _ = choose_model(settings.model_copy(update={"use_llm": True}))
        assert spec is not None
        yield _asked("function", spec, tell, ask)
    tell("looking for Ollama")
    url = ollama_url(settings.ollama_url)
    names = probe_ollama(url, max(PROBE_S, 2.0))
    wanted = settings.ollama_model or (names[0] if names else "")
    if names is None:
        yield Finding("Ollama", f"does not answer at {url}", "start it (ollama serve), or set OLLAMA_HOST")
    elif not names or not is_pulled(wanted, names):
        has = f"it has: {', '.join(names)}" if names else "it has no model"
        yield Finding("Ollama", f"answers at {url}; {has}", f"ollama pull {wanted or 'llama3.2'}")
    else:
        yield _asked("Ollama", ollama_spec(settings, wanted), tell, ask)
    if settings.base_url:
        try:
            yield _asked("OpenAI-compatible server", openai_spec(settings), tell, ask)
        except SettingsError as error:
            yield Finding("OpenAI-compatible server", str(error), "correct OPENAI_BASE_URL")
    else:
        yield Finding("OpenAI-compatible server", "none named", "export OPENAI_BASE_URL=http://HOST:PORT/v1")
    if find_spec("xllamacpp") is None:
        yield Finding("embedded model", "xllamacpp is not installed", "pip install 'astrasim[embedded]'")
    elif embedded_lacks():
        yield Finding("embedded model", "xllamacpp is installed, the weights are not", "astrasim model install")
    else:
        yield _asked("embedded model", embedded_spec(), tell, ask)


def verdict(settings: Settings) -> tuple[str, bool]:
    """Which model a game started here would ask, and why; and whether it would start at all."""
    try:
        spec, reason = choose_model(settings)
    except SettingsError as error:
        return f"A game started here would stop: {error}", False
    return f"A game started here asks {spec or 'no model'} ({reason}).", True


def _asked(what: str, spec: ModelSpec, tell: Callable[[str], object], ask: bool) -> Finding:
    if not ask:
        return Finding(what, f"{spec}: there; not asked")
    tell(f"asking the {what}")
    decisions = decide(spec, tell)
    return Finding(what, f"{spec}: {decisions}", "" if decisions.latency_ms else _remedy(what, decisions.failures))


def _remedy(what: str, failures: list[str]) -> str:
    """What to do where no decision was valid."""
    said = failures[-1] if failures else ""
    if said.startswith(("http_401", "http_403")):
        return "export OPENAI_API_KEY=... (the key that the server wants)"
    if said.startswith("proxy_refused"):
        return "correct the proxy's user and password in HTTPS_PROXY, or name the server in NO_PROXY"
    if said.startswith(("unreachable", "connection_lost")):
        return f"start the {what}, or take its address out of the environment"
    if what == "function":
        return "correct the function, or where it is: ASTRASIM_MODEL=function:MODULE:NAME, with PYTHONPATH"
    if what == "embedded model":
        return "astrasim model list (is it whole?), astrasim model install"
    return "see what failed; another model may do better"


def decide(spec: ModelSpec, tell: Callable[[str], object] = lambda _: None) -> Decisions:
    """Have a model decide a few situations of a small game, through a gateway process as games have it."""
    post = _post()
    compiled = compile_domain(post)
    words = with_examples(compiled)
    scope = compiled.scope("guard", compiled.roles["guard"], "", spec.tag)
    options = [
        (words.action_index[action], words.target_index[target])
        for action, target in (("attack", "intruder"), ("flee", "intruder"), ("hold", "gate"), ("rest", "self"))
    ]
    latency_ms, failures, tokens, writing_s, last = [], list[str](), 0, 0.0, ""
    with Gateway(words, spec) as gateway:
        gateway.declare_scope(0, scope)
        _wait_until(gateway, lambda: gateway.state is GatewayState.READY, tell)
        begun = time.monotonic()
        for number in range(DECISIONS):
            key = (number * 5 + 1) % words.key_space("guard")
            if not gateway.ask(number, 0, key, PATIENCE_S, options):
                if not gateway.unavailable:
                    failures.append(gateway.describe())
                break
            result = _wait_until(gateway, lambda: False, tell)
            if number == 0 and isinstance(result, Failure) and result.reason == "calibrating":
                result = _calibrated(gateway, key, options, tell)
                begun = time.monotonic()
            if isinstance(result, Answer):
                latency_ms.append(result.latency_ms)
                # A model that chooses writes nothing: what it evaluates is its work.
                tokens += result.usage.prompt_tokens if spec.chooses else result.usage.tokens
                writing_s += result.usage.writing_ms / 1000
                steps = ", then ".join(f"{words.actions[a].name} {words.targets[t]}" for a, t, _ in result.steps)
                last = f"{'; '.join(Situation(words, scope, key).words)} -> {steps}"
            else:
                failures.append("no answer" if result is None else f"{result.reason}: {result.detail}")
            if time.monotonic() - begun > ENOUGH_S:
                break
        unavailable = gateway.unavailable
    return Decisions(latency_ms, tokens / writing_s if writing_s else 0.0, last, failures, unavailable)


def _calibrated(
    gateway: Gateway, key: int, options: list[tuple[int, int]], tell: Callable[[str], object]
) -> Answer | Failure | None:
    """The first answer of a model that refuses until it is calibrated: it is asked again each quarter of a second."""
    until, number = time.monotonic() + CALIBRATION_S, DECISIONS
    result: Answer | Failure | None = None
    while time.monotonic() < until and gateway.ask(number, 0, key, PATIENCE_S, options):
        result = _wait_until(gateway, lambda: False, tell)
        if not isinstance(result, Failure) or result.reason != "calibrating":
            break
        tell(gateway.describe())
        time.sleep(0.25)
        number += 1
    return result


def _wait_until(
    gateway: Gateway, done: Callable[[], bool], tell: Callable[[str], object]
) -> Answer | Failure | None:
    """Poll until ``done``, or something has ended, which is returned; None after a minute."""
    until = time.monotonic() + PATIENCE_S + 1.0
    while not done() and time.monotonic() < until:
        if results := gateway.poll():
            return results[0]
        tell(gateway.describe())
        time.sleep(0.005)
    return None


def _post() -> Domain:
    """A guard at a gate: small, and with something to decide."""
    post = Domain("post", ["guard", "intruder"])
    post.percept("intruder", nearest="intruder", seen_by="guard", radius=30)
    post.place("gate", 0, 0)
    post.feature("danger", column="intruder_distance", edges=[8, 31],
                 words=["an intruder is upon you", "an intruder is near", "nobody is in sight"])  # fmt: skip
    post.feature("health", column="hp", edges=[30, 70], words=["you are badly hurt", "you are hurt", "you are well"])
    post.feature("vigour", column="stamina", edges=[30], words=["you are tired", "you are rested"])
    post.stock("attack", targets=["intruder"], damage=5, range=8, about="strike an intruder in reach")
    post.stock("flee", targets=["intruder"], speed=6, about="run away")
    post.stock("hold", targets=["gate"], speed=4, about="stand guard")
    post.stock("rest", targets=["self"], rate=10, about="get new strength")

    @post.heuristic("guard")
    def sense(s: Situation) -> list[str]:
        if s.danger == 2:
            return ["hold gate"] if s.vigour else ["rest self", "hold gate"]
        return ["flee intruder", "rest self"] if s.health == 0 else ["attack intruder", "hold gate"]

    return post
