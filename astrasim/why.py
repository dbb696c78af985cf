"""``sim.why(agent)``: everything that led to what an agent does, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kernels.columns import NEED_AT_ONCE, NEED_END, NEED_FAILED, NEED_INTERRUPT, NEED_ORDER, WAIT_PLAN
from .kernels.lookup import IN_FLIGHT, WANTED
from .kernels.planning import is_legal
from .plans import Source
from .population import NEVER_LOOKED
from .prompts import choice_prompt, json_prompt
from .steps import Status

if TYPE_CHECKING:
    from .agents import Agent
    from .simulation import Simulation
    from .situation import Situation

_NEEDS = {NEED_END: "its plan ended", NEED_INTERRUPT: "an interrupt feature changed", NEED_FAILED: "a step failed",
          NEED_ORDER: "it has a new order", NEED_AT_ONCE: "its plan ended as soon as it began"}  # fmt: skip
_SOURCES = {
    Source.LLM: "LLM: the model made it for this situation while the agent waited",
    Source.CACHE: "CACHE: the model made it for this situation earlier",
    Source.HEURISTIC: "HEURISTIC: made without the model",
}


def explain(sim: Simulation, agent: Agent) -> str:
    """The text behind ``sim.why``."""
    row, table, planner = agent.row, sim.agents, sim.planner
    situation = sim.situation(agent)
    scope = situation.scope
    plan = planner.plans[int(table.plan[row])]
    step, status, ran_s = int(table.step[row]), Status(int(table.state[row])), float(table.elapsed[row])
    source = Source(int(table.source[row]))
    lines = [
        f"{agent!r}, role {scope.role}, at ({agent.x:.1f}, {agent.y:.1f})",
        f"situation {situation.key}: {'; '.join(situation.words) or 'no features'}",
        f"order: {scope.order or 'none'}",
        f"legal now: {', '.join(_legal_steps(sim, row)) or 'nothing'}",
        f"plan: {plan}",
        f"step {step + 1} of {len(plan.steps)}: {plan.steps[step]}, {status.name}, {ran_s:.1f} s so far",
        f"source: {_SOURCES[source]}{_instead(sim, row)}",
        f"planned {sim.time - float(table.plan_start[row]):.1f} s ago",
    ]
    if need := int(table.need[row]):
        why = "it is new here" if table.plan_interrupt_key[row] == NEVER_LOOKED else _NEEDS[min(need, NEED_AT_ONCE)]
        lines.append(f"waits for the planner: {why}")
    if int(table.next_plan[row]) >= 0:
        lines.append(f"next, when this step ends: {planner.plans[int(table.next_plan[row])]}")
    if table.plan_key[row] != situation.key and table.entry[row] >= 0:
        lines += ["", *_earlier_lines(sim, row)]
    lines += ["", *_model_lines(sim, row, situation.key), ""]
    return "\n".join([*lines, *_prompt_lines(sim, situation)])


def _prompt_lines(sim: Simulation, situation: Situation) -> list[str]:
    """What the model is asked in this situation, or would be if there were one."""
    scope, chooses = situation.scope, sim.model is not None and sim.model.chooses
    prompt = (choice_prompt if chooses else json_prompt)(sim.words, scope, situation.key)
    kind = "a choice" if chooses else f"{scope.prompt} prompt"
    whose = "the model is asked" if sim.model is not None else "a model would be asked"
    return [f"what {whose} here ({kind}), system:", prompt.system.rstrip("\n"), "user:", prompt.user.lstrip("\n")]


def _earlier_lines(sim: Simulation, row: int) -> list[str]:
    """Its situation has changed since it took its plan: what that was made for."""
    scope_id, key = int(sim.agents.scope[row]), int(sim.agents.plan_key[row])
    words = sim.compiled.vocabulary.words(sim.planner.scopes[scope_id].kind, key)
    lines = [f"the plan was made for situation {key}: {'; '.join(words)}"]
    raw = sim.planner.raw.get((scope_id, key))
    return [*lines, f"raw answer for that: {raw}"] if raw is not None else lines


def _instead(sim: Simulation, row: int) -> str:
    agents, entry = sim.agents, int(sim.agents.entry[row])
    if entry < 0 and (agents.need[row] or agents.plan_interrupt_key[row] == NEVER_LOOKED):
        return "; the role's default plan, until it is served"
    style = sim.planner.scopes.style_plan[agents.scope[row]]
    if entry < 0 or agents.plan[row] == style != sim.planner.cache.entries.heuristic[entry]:
        return "; in its role's style, because so many waited for a plan"
    if agents.plan[row] == WAIT_PLAN:
        return "; its plans for this situation ended as soon as they began, so it waits a second"
    return ""


def _model_lines(sim: Simulation, row: int, key: int) -> list[str]:
    planner = sim.planner
    if planner.gateway is None:
        return [f"model: none ({sim.model_reason})"]
    lines = [f"model: {sim.model_tag}; gateway: {planner.gateway.describe()}"]
    scope_id = int(sim.agents.scope[row])
    entry = planner.cache.find(scope_id, key)
    if entry < 0:
        return [*lines, "this situation: no agent has needed a plan in it yet"]
    entries = planner.cache.entries
    if entries.model[entry] >= 0:
        lines.append(f"this situation: the model's plan is: {planner.plans[int(entries.model[entry])]}")
    elif sim.model is not None and sim.model.chooses and len(planner.choices.ideas(entry)) == 1:
        lines.append("this situation: the heuristic has one idea, so there is nothing for the model to choose")
    elif entries.flags[entry] & IN_FLIGHT:
        lines.append("this situation: the model has been asked")
    elif (wait_s := int(entries.blocked[entry]) / 1000 - sim.time) > 0:
        lines.append(f"this situation: the last request brought no plan; not asked again for {wait_s:.1f} s")
    elif entries.tier[entry] < 0 and not (tier := sim.settings.tiers[int(sim.agents.tier[row])]).asks:
        lines.append(f"this situation: nobody in it may ask a model (tier {tier.name}: requests_per_second 0)")
    elif entries.flags[entry] & WANTED:
        reason = planner.admission.why_not(int(entries.tier[entry]))
        lines.append(f"this situation: waits for its turn to be asked{f': {reason}' if reason else ''}")
    else:
        lines.append("this situation: the model has not been asked")
    raw = planner.raw.get((scope_id, key))
    return [*lines, f"raw answer: {raw}"] if raw is not None else lines


def _legal_steps(sim: Simulation, row: int) -> list[str]:
    agents, things = sim.columns(), sim.thing_columns()
    vocabulary, tables = sim.compiled.vocabulary, sim.compiled
    scope = sim.planner.scopes[int(sim.agents.scope[row])]
    return [
        f"{action.name} {target}"
        for action, targets in vocabulary.steps_of(scope)
        for target in targets
        if is_legal(
            agents, things, tables.actions, tables.targets, row,
            vocabulary.action_index[action.name], vocabulary.target_index[target],
        )
    ]  # fmt: skip
