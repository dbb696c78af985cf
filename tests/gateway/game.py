"""A game for the tests to start, kill and interrupt. Prints the gateway process's number once it is ready, then plays
on. First argument "frozen": as a frozen executable would, it serves as the gateway itself. "forked": it has another
process, which inherited all that was open."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from astrasim.gateway import freeze_support

freeze_support()

from astrasim.gateway import Gateway, GatewayState, ModelSpec, process  # noqa: E402
from astrasim.vocabulary import ActionWords, Scope, Vocabulary  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
action = ActionWords(name="flee", kinds=("sheep",), targets=("threat",), seconds=2.0)
scope = Scope(
    kind="sheep",
    role="grazer",
    persona=sys.argv[2] if len(sys.argv) > 2 else "",
    order="",
    actions=("flee",),
    domain="meadow",
    ruleset="1",
    model="test",
)
vocabulary = Vocabulary(
    domain="meadow",
    ruleset="1",
    kinds=("sheep",),
    features=(),
    actions=(action,),
    targets=("threat",),
    min_seconds=0.5,
    max_seconds=30.0,
)

if __name__ == "__main__":
    # A shell that runs the tests in the background has its jobs ignore Ctrl-C, and they hand that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[1] == "frozen":
        process.command = lambda: [sys.executable, __file__, process.FLAG]
    gateway = Gateway(vocabulary, ModelSpec(kind="function", name="minds:play"))
    gateway.declare_scope(1, scope)
    gateway.start()
    told = False
    while True:
        answers = gateway.poll()
        if gateway.state is GatewayState.READY and not told:
            gateway.ask(1, 1, 0, 30.0)
            gateway.flush()
            if sys.argv[1] == "forked" and os.fork() == 0:
                time.sleep(60.0)
                os._exit(0)
            print("up", gateway.pid, flush=True)
            told = True
        for answer in answers:
            print(type(answer).__name__, flush=True)
        time.sleep(0.005)
