"""A script of keys: what somebody would type and click, with times, posted as real pygame events.

One line each: ``SECONDS press KEY``, ``SECONDS hold KEY FOR_SECONDS``, ``SECONDS type TEXT``, ``SECONDS order TEXT``
(Enter, the text, Enter), ``SECONDS click X Y``, ``SECONDS quit``. Keys are called as pygame calls them: space, return,
f1, w, and so on. Empty lines and those that begin with # are passed over.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pygame

from astrasim import SettingsError

USAGE = "SECONDS, then press KEY, hold KEY SECONDS, type TEXT, order TEXT, click X Y or quit"
VERBS = {"press": 1, "hold": 2, "type": 1, "order": 1, "click": 2, "quit": 0}


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{text} is no time; it must be a number of seconds, at least 0")
    return seconds


class Script:
    """Events by the frame in which they are posted."""

    def __init__(self, text: str, name: str = "keys", fps: int = 60) -> None:
        """Raises SettingsError for a line that is none of those above, naming it. pygame's display must be up."""
        self._events: dict[int, list[pygame.event.Event]] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip() and not line.strip().startswith("#"):
                try:
                    self._read(line, fps)
                except ValueError as error:
                    raise SettingsError(f"{name}, line {number}: {line.strip()!r}: {error}; write {USAGE}") from None

    @classmethod
    def from_file(cls, path: Path) -> Script:
        """Raises SettingsError if it cannot be read or understood."""
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except UnicodeDecodeError:
            raise SettingsError(f"--keys {path}: this is no text in UTF-8; give a file of lines: {USAGE}") from None
        except OSError as error:
            raise SettingsError(f"--keys {path}: {error.strerror or error}; give a file of lines: {USAGE}") from None

    def post(self, frame: int) -> None:
        """Put the events of this frame into pygame's queue."""
        for event in self._events.pop(frame, ()):
            pygame.event.post(event)

    def _read(self, line: str, fps: int) -> None:
        seconds, _, rest = line.strip().partition(" ")
        verb, _, rest = rest.strip().partition(" ")
        if verb not in VERBS:
            raise ValueError(f"there is no {verb!r}")
        frame, parts = round(_seconds(seconds) * fps), rest.split()
        if len(parts) < VERBS[verb]:
            raise ValueError(f"{verb} needs more")
        if verb == "press":
            self._press(frame, parts[0])
        elif verb == "hold":
            self._press(frame, parts[0], round(_seconds(parts[1]) * fps))
        elif verb == "type":
            self._type(frame, rest)
        elif verb == "order":
            self._press(frame, "return")
            self._type(frame + 1, rest)
            self._press(frame + 2, "return")
        elif verb == "click":
            at = (int(parts[0]), int(parts[1]))
            self._add(frame, pygame.MOUSEBUTTONDOWN, button=1, pos=at, touch=False)
            self._add(frame + 4, pygame.MOUSEBUTTONUP, button=1, pos=at, touch=False)
        else:
            self._add(frame, pygame.QUIT)

    def _press(self, frame: int, name: str, frames: int = 2) -> None:
        key = pygame.key.key_code(name)
        self._add(frame, pygame.KEYDOWN, key=key, mod=0, unicode="", scancode=0)
        self._add(frame + max(1, frames), pygame.KEYUP, key=key, mod=0, unicode="", scancode=0)

    def _type(self, frame: int, text: str) -> None:
        for letter in text:
            self._add(frame, pygame.TEXTINPUT, text=letter)

    def _add(self, frame: int, sort: int, **values: Any) -> None:
        self._events.setdefault(frame, []).append(pygame.event.Event(sort, **values))
