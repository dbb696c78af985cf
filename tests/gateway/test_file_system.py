"""No path that a model or a server names is opened: the gateway process is watched by Python's own audit events."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from astrasim.gateway import ModelSpec
from astrasim.gateway.keeping import Keeping

if TYPE_CHECKING:
    from tests.gateway.conftest import Game, StubServer

MARK = "chosen-by-the-model"
PATHS = [f"../../{MARK}.json", f"/tmp/{MARK}", f"file:///{MARK}", f"C:\\{MARK}", f"{MARK}\x00.gguf", f"$(touch {MARK})"]

# Python runs this file at the start of each process that finds it on its path.
WATCH = """
import os, sys

out = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def watch(event, arguments):
    if event.split(".")[0] in ("open", "os", "shutil", "sqlite3", "subprocess", "import", "ctypes", "glob", "tempfile"):
        os.write(out, (event + " " + ascii(arguments) + chr(10)).encode())

sys.addaudithook(watch)
"""


@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_no_path_of_a_servers_reaches_the_file_system(
    play_a_game: Callable[..., Game], server: StubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("WATCHED", str(tmp_path / "events"))

    def reply(handler: BaseHTTPRequestHandler) -> None:
        path = PATHS[len(server.paths) % len(PATHS)]
        plan = {"steps": [{"action": "flee", "target": "threat", "seconds": 3}], "file": path, path: [path]}
        said = {"content": f"{json.dumps(plan)}"}
        body: dict[str, object] = {
            "data": [{"id": path}], "models": [{"name": path, "model": path}], "done": True, "message": said,
            "choices": [{"finish_reason": "stop", "message": said}],
        }  # fmt: skip
        status = 200
        if "chat" in handler.path and len(server.paths) % 3 == 0:
            status, body = 500, {"error": {"message": path, "param": path}, "file": path}
        text = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(text)))
        handler.send_header("Content-Disposition", f"attachment; filename={MARK}")
        handler.send_header("Set-Cookie", f"file={MARK}")
        handler.end_headers()
        handler.wfile.write(text)

    server.reply = reply
    keeping = Keeping(file=tmp_path / "plans.db")
    model = ModelSpec.model_validate({"kind": kind, "base_url": server.url})
    game = play_a_game(model, log_exchanges=tmp_path / "exchanges.jsonl", keeping=keeping, retries=0).up()
    for number in range(9):
        game.ask(number, key=number % 6)
        game.result(number)
    game.until((tmp_path / "plans.db").exists)
    game.gateway.close()
    assert MARK in (tmp_path / "exchanges.jsonl").read_text(encoding="utf-8"), "the server's words came that far"
    events = (tmp_path / "events").read_text(encoding="utf-8")
    assert "exchanges.jsonl" in events and "plans.db" in events, "what is opened is seen"
    assert [line for line in events.splitlines() if MARK in line] == []
    assert not [file for file in os.listdir(tmp_path) if MARK in file]
