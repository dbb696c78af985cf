"""Orders in plain words: what the rules make of them, and what the companion does about each without a model.

The rules answer at once, so an order is acted on in the next frame; a model, when it answers, has read the very words,
because the order is part of the scope. An order that the rules do not understand is left to the model alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from astrasim import Situation

Steps = list[str]
SHOOTING = ["shoot boss_near 1", "shoot foe 1"]


@dataclass(frozen=True)
class Rule:
    """One kind of order.

    Attributes:
        name: what ``game.py`` knows it by.
        says: what the companion answers.
        words: patterns, all of which must be in the text (each is a regular expression over whole words).
        allows: what it may do, besides shooting: its other actions are ruled out while the order stands.
        steps: what to do about it in a situation.
    """

    name: str
    says: str
    words: tuple[str, ...]
    allows: tuple[str, ...]
    steps: Callable[[Situation], Steps]


def _hold_bridge(s: Situation) -> Steps:
    if s.bridge_distance == 1:
        return ["guard bridge 3"] if s.danger > 0 else ["shoot foe 1", "guard bridge 2"]
    return [*SHOOTING, "guard bridge 1"] if s.danger <= 1 else ["guard bridge 2"]


def _follow(s: Situation) -> Steps:
    if s.player_distance == 2 or s.danger > 1:
        return ["follow player 2"]
    return [*SHOOTING, "follow player 1"]


def _attack_boss(s: Situation) -> Steps:
    if s.danger == 0 and s.boss_distance > 0:
        return ["shoot foe 1", "advance quarry 2"]
    return ["shoot boss_near 2", "advance quarry 2"] if s.boss_distance <= 1 else ["advance quarry 3", "shoot foe 1"]


def _attack(s: Situation) -> Steps:
    if s.danger <= 1:
        return [*SHOOTING, "advance foe 1"]
    return ["advance foe 2", "shoot foe 2"] if s.danger == 2 else ["advance quarry 3", "advance east_bank 3"]


def _fall_back(s: Situation) -> Steps:
    if s.village_distance == 0 and s.danger <= 1:
        return [*SHOOTING, "defend village 1"]
    return ["defend village 3"]


def _fetch(s: Situation) -> Steps:
    return ["fetch pack 10"] if s.supplies < 2 else ["wait self 1"]


def _stay(s: Situation) -> Steps:
    return [*SHOOTING, "stay post 1"] if s.danger <= 1 else ["stay post 3"]


def _hide(s: Situation) -> Steps:
    return ["hide cover 2", *SHOOTING] if s.danger <= 2 else ["wait self 1"]


RULES = (
    Rule("attack_boss", "I go for the boss.",
         (r"attack|kill|shoot|fight|charge|hunt|finish|target|focus|go for|get(?! (away|back|behind|out|off))|"
          r"take(?! (cover|shelter|care))",
          r"boss(es)?|captains?|warlord|chief|leader|brute|purple|big (\w+ )?(one|guy)"), ("advance",),
         _attack_boss),
    Rule("fetch", "I fetch a health pack.",
         (r"(health|med|first.?aid|supply|supplies)( ?(packs?|kits?))?|packs?|medi(kit|cine)|medkit|heal( yourself)?|"
          r"patch yourself up|bandages?",), ("fetch",), _fetch),
    Rule("follow", "I stay with you.",
         (r"follow( me)?|with me|come(?! (back |over )*(on)?to (?!me))|to me|regroup|help( me)?$|"
          r"stay close|(protect|guard|cover|defend|escort) me|by my side|stick|"
          r"watch my back|back me up|stand by me",),
         ("follow",), _follow),
    Rule("hold_bridge", "I hold the bridge.", (r"bridge|crossing",), ("guard",), _hold_bridge),
    Rule("fall_back", "I fall back to the village.",
         (r"fall ?back|retreat|withdraw|go (home|back)|back (off|home)|home|village|houses?|flee|"
          r"get out of (here|there)|run(?! (at|after|to|into|over|down|them|him))",), ("defend",),
         _fall_back),
    Rule("hide", "I take cover.", (r"cover|hide|behind (a|the) (rock|tree)s?|duck|get down|lie low|out of sight",),
         ("hide",), _hide),
    Rule("stay", "I stay here.", (r"stay|hold|wait|stop|halt|stand|here|keep (your|that) (place|position)",), ("stay",),
         _stay),
    Rule("attack", "I attack.",
         (r"attack|charge|kill|fight|shoot|advance|offensive|"
          r"forward|push|go get|fire|clear",), ("advance",), _attack),
    Rule("relieve", "As you like. I do what I think best.",
         (r"relieved?|dismissed?|at ease|stand down|as you (like|wish|please|were)|you('re| are) free|forget|"
          r"cancel|carry on$|do what(ever)? you (want|like|think)|"
          r"you decide|up to you|that's enough|free hand",), (), lambda _: []),
)  # fmt: skip
RULE = {rule.name: rule for rule in RULES}
_PATTERNS = {rule.name: tuple(re.compile(rf"\b({words})\b") for words in rule.words) for rule in RULES}

# An order is read clause by clause, because "never mind the boss, hold the bridge" is about the bridge.
_CLAUSE = re.compile(r"[,;:.!?]+|\b(?:and|but|then)\b")
_NEVER_MIND = re.compile(r"\bnever ?mind\b")
_POLITE = re.compile(r"\b(please|ash|now|at once)\b")
_GO_ON = re.compile(r"\b(?:carry on|keep(?: on)?|go on|continue|start|begin) (\w+)ing\b")
_LET_NOBODY = re.compile(
    r"\b(?:(?:don't|dont|do not|never) let (?:any ?(?:one|body|thing)|(?:any of )?them)|let (?:nobody|no one|none))"
    r"(?: of them)? (?:get )?(?:pass|past|cross|across|through|over|by)\b.*"
)
_DO_NOT_MOVE = re.compile(r"\b(?:don't|dont|do not) (?:move|go anywhere)\b")
_STEMS = {"charg": "charge", "hid": "hide", "advanc": "advance", "com": "come", "tak": "take"}
_RELIEF = _PATTERNS["relieve"][0]
_HALT = re.compile(r"(stop|halt)( right)?( here| there| moving| walking| running| where you are)?")
_LIFTED = re.compile(r"ignore\b.*|(stop|quit|cease) (?!shooting|firing|fighting|killing)\w+ing\b.*")
"""It takes back an order that stands, or might: what else is said counts, if anything is."""
_NOT = re.compile(
    r"\b(not|\w+n't|dont|cant|wont|cannot|never|no (?!matter)|nor|neither|none|nobody|nothing|without|unless|except|"
    r"instead of|rather than|stop|quit|cease|hold (your )?fire|avoid|abandon|leave|spare|refrain|refuse|give up|"
    r"(?<!run )away from|(stay|keep) away|(stay|keep|get|go|come|move) off|(stay|keep|get|go|come|move) out of "
    r"(?!here|there|sight)|(keep|steer|stay) clear|clear of)\b"
)


def understand(text: str) -> Rule | None:
    """The rule for an order, normalised or as typed; None if the rules do not understand it.

    What is forbidden ("do not attack", "leave the bridge") is beyond keywords: to obey it half, or to do its opposite,
    would be worse than to say so.
    """
    lower = _POLITE.sub(" ", _NEVER_MIND.sub("forget", text.lower().replace("’", "'")))
    lower = _DO_NOT_MOVE.sub("stay", _LET_NOBODY.sub("hold the bridge", lower))
    lower = _GO_ON.sub(lambda found: _STEMS.get(found[1], found[1]), lower)
    clauses = [" ".join(clause.split()) for clause in _CLAUSE.split(lower)]
    told, relieved = [], False
    for clause in filter(None, clauses):
        if _HALT.fullmatch(clause):
            told.append(clause)
        elif _LIFTED.fullmatch(clause):
            continue
        elif _NOT.search(clause):
            return None
        elif _RELIEF.search(clause):
            relieved = True
        else:
            told.append(clause)
    said = ", ".join(told)
    found = (rule for rule in RULES if all(pattern.search(said) for pattern in _PATTERNS[rule.name]))
    return next(found, RULE["relieve"] if relieved else None)


EXAMPLES = ("hold the bridge", "follow me", "attack the boss", "fall back", "get the health pack", "stay here",
            "take cover", "at ease")  # fmt: skip
"""What the game offers on its number keys, and names where it did not understand."""
