"""The words of orders that two orders are compared by: English, and the verbs of games.

``VERBS`` are kinds of doing, each with the phrases for it; a phrase belongs to one of them ("!": not doing it). A verb
that does not stand here is compared by the embedding of the whole order. The rest says what must be equal before an
embedding is even looked at, because embeddings hardly see it: who, which way, when, and whether not.
"""

from __future__ import annotations

VERBS = {
    "hold": "hold, guard, defend, protect, keep, keep safe, watch over, stand guard at, stand guard over, secure, "
            "cover, keep watch over, shield, hold on to, look after, stand your ground at, stand your ground, man",
    "stay": "stay, wait, remain, stay put, stay where you are, remain where you are, hold your position, hold "
            "position, hold your ground, stand still, stop here, halt, do not move, do not leave this spot, do not go "
            "anywhere, stay here, wait here, remain here, stop there, stand by, freeze",
    "follow": "follow, come with, come along with, stay close to, stay near, stick with, stick to, keep near, tag "
              "along with, stay by my side, stay with, keep close to, walk with, go with, accompany, stay beside, "
              "keep up with, be with",
    "lead": "lead, guide, show the way",
    "!attack": "leave alone, spare, let be, let live",
    "!shoot": "cease fire, hold your fire, hold fire",
    "attack": "attack, kill, fight, strike, hit, charge, engage, slay, assault, take down, take out, bring down, go "
              "after, go for, strike down, finish off, eliminate, beat, defeat, target, focus on",
    "shoot": "shoot, fire at, fire on, open fire, open fire on, shoot at, open fire at, fire",
    "retreat": "retreat, fall back, withdraw, pull back, go back, run back, return, get back, come back, head back, "
               "back off",
    "flee": "flee, run away, escape, run, run for it, make a run for it, get out of there, get out of here, run for "
            "your life",
    "hide": "hide, take cover, conceal yourself, go into hiding, keep out of sight, stay hidden, hide yourself",
    "heal": "heal, patch up, tend to, cure, give some healing, give healing, take care of, bandage, treat, need "
            "healing, tend to wounds, nurse",
    "help": "help, assist, aid, support, give a hand, lend a hand, back up",
    "fetch": "fetch, get, bring, pick up, grab, go get, go and get, go and pick up, go fetch, find, collect, gather, "
             "bring in, pick, harvest",
    "carry": "carry, take, deliver, bring over, transport",
    "give": "give, hand, hand over, pass",
    "drop": "drop, put down, throw away, discard, let go of",
    "go": "go, move, head, walk, run to, march, get to, make your way, travel, advance, proceed",
    "scout": "scout, explore, look around, reconnoitre, reconnoiter, check out, look at, inspect, have a look around, "
             "survey, investigate, recon, look about",
    "search": "search, look through, look for clues in, comb, go through",
    "patrol": "patrol, walk along, keep patrolling, make the rounds on, make the rounds, go on patrol, walk around, "
              "do the rounds",
    "open": "open, unlock, get open, unbar, unbolt",
    "close": "close, shut, get shut, lock, bar, seal",
    "rest": "rest, take a rest, get some rest, catch your breath, take a break, have a rest, sleep, recover, relax, "
            "take a breather, sit down",
    "reload": "reload, load, load again, reload weapon, reload gun, load gun again, load weapon",
    "light": "light, ignite, kindle",
    "extinguish": "put out, extinguish, douse, quench, smother",
    "feed": "feed, give something to eat, see fed, give food to",
    "turn": "turn, make a turn",
    "save": "save, rescue, get to safety, bring to safety, free, keep alive",
    "call": "call, tell to come, summon, ask to come, send for",
    "surround": "surround, encircle, ring, circle around",
    "ambush": "ambush, lay an ambush for, set a trap for, lie in wait for, waylay",
    "sneak": "sneak past, slip past, steal past, creep past, sneak by, slip by, sneak",
    "cross": "cross, go across, pass over, get across, go over",
    "destroy": "destroy, demolish, break, wreck, tear down, smash, blow up",
    "abandon": "abandon, give up, leave, desert, quit, evacuate",
    "surrender": "surrender, yield, give in",
    "hunt": "hunt, chase, track, pursue, hunt down, chase down",
    "build": "build, make, construct, put up",
    "enter": "enter, go inside, go into, get in, go in",
    "leave": "come out, go out, get out, exit, go outside, go away",
    "raise": "raise, lift, pull up",
    "lower": "lower, let down",
    "drink": "drink, eat, swallow",
    "talk": "talk to, speak to, speak with, talk with",
    "lure": "lure, draw away, distract, bait",
    "burn": "burn, burn down, set on fire, set fire to, set alight, torch",
    "buy": "buy, purchase",
    "sell": "sell",
    "repair": "repair, mend, fix",
}  # fmt: skip

NOUNS = {
    "bridge": "crossing",
    "wood": "firewood logs timber",
    "forest": "woods",
    "health pack": "medkit medipack medpack",
    "wounded": "injured hurt wound wounds",
    "weapon": "gun rifle bow",
    "fire": "flames blaze",
    "village": "hamlet",
    "enemy": "enemies foe foes hostiles",
    "ammo": "ammunition bullets rounds arrows",
    "friend": "ally mate",
    "north": "northwards northern northward",
    "south": "southwards southern southward",
    "east": "eastwards eastern eastward",
    "west": "westwards western westward",
    "towards": "toward",
    "forward": "forwards ahead",
    "backward": "backwards",
    "hostage": "captive prisoner",
}  # fmt: skip
"""Other words for the same thing."""

NEGATIONS = (
    "alone anyone avoid away but cease except fail forget hardly instead neither never no nobody none nor not "
    "nothing quit refuse stop unless without"
)

NOT = "avoid never no not refuse"
"""Of these, those that say the same: not to do what follows."""

ENDING = "cease quit stop"
"""And those that do so before a verb's -ing; otherwise they are orders of their own."""

BETWEEN = "at by for of on to"
"""Small words that change nothing right after the verb, and much between two things."""

PERSONS = {
    "me": "i me my mine myself",
    "us": "we us our ours",
    "you": "you your yourself",
    "him": "he him his himself",
    "her": "she her hers herself",
    "them": "they them their",
    "all": "everyone everybody all",
}  # fmt: skip

CONDITIONS = {
    "if": "if when whenever",
    "once": "once",
    "until": "until till",
    "after": "after",
    "before": "before",
    "while": "while",
    "later": "later soon",
    "only": "only",
    "unless": "unless",
    "because": "because",
    "or": "or",
    "then": "then",
    "tonight": "tonight",
    "tomorrow": "tomorrow",
    "as": "as",
}  # fmt: skip

EMPTY = (
    "a again am an and are at be by can could do does fast for here hey hurry immediately is it just kindly let "
    "must need now of ok okay on please quickly really should sir so some that the there these those to want well "
    "will would"
)
"""Words that change nothing about an order whose other words are the same."""

SHORT = {
    "don't": "do not",
    "dont": "do not",
    "can't": "can not",
    "won't": "will not",
    "i'm": "i am",
    "let's": "let us",
    "isn't": "is not",
    "aren't": "are not",
    "you're": "you are",
    "they're": "they are",
    "he's": "he is",
    "she's": "she is",
    "i'll": "i will",
    "doesn't": "does not",
    "didn't": "did not",
}  # fmt: skip
