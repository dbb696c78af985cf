"""Text on the screen: fonts that a machine has, in sizes that grow with the window, and a cache of rendered lines."""

from __future__ import annotations

import pygame

Colour = tuple[int, int, int]
FONTS = "segoeui,helveticaneue,sfprotext,ubuntu,cantarell,notosans,dejavusans,liberationsans,arial"
_MAX_CACHED = 600


class Lettering:
    """Renders lines at ``ui`` times their size; a line that was rendered before costs a look-up."""

    def __init__(self, ui: float) -> None:
        self.ui = ui
        self._fonts: dict[tuple[int, bool], pygame.font.Font] = {}
        self._lines: dict[tuple[str, int, Colour, bool], pygame.Surface] = {}

    def font(self, size: int, bold: bool = False) -> pygame.font.Font:
        """A font of the system; pygame's own where there is none of those known."""
        if (size, bold) not in self._fonts:
            self._fonts[size, bold] = pygame.font.SysFont(FONTS, max(9, round(size * self.ui)), bold=bold)
        return self._fonts[size, bold]

    def line(self, text: str, size: int, colour: Colour, bold: bool = False) -> pygame.Surface:
        """A line of text as a surface; do not draw on it."""
        key = text, size, colour, bold
        found = self._lines.pop(key, None)
        if found is None:
            found = self.font(size, bold).render(text, True, colour)
            if len(self._lines) >= _MAX_CACHED:
                del self._lines[next(iter(self._lines))]
        self._lines[key] = found  # the one used last is the last to go
        return found

    def height(self, size: int) -> int:
        """From one line to the next."""
        return self.font(size).get_linesize()

    def wrap(self, text: str, size: int, width: float, lines: int = 99) -> list[str]:
        """``text`` in lines no wider than ``width`` pixels; what does not fit in so many lines ends in an ellipsis."""
        font, wrapped, current = self.font(size), list[str](), ""
        for word in text.split():
            longer = f"{current} {word}".strip()
            if font.size(longer)[0] <= width:
                current = longer
                continue
            if current:
                wrapped.append(current)
            current = word
        wrapped.append(current)
        wrapped = [self.cut(line, size, width) for line in wrapped]
        if len(wrapped) > lines:
            wrapped = [*wrapped[: lines - 1], self.cut(wrapped[lines - 1] + " …", size, width)]
            if not wrapped[-1].endswith("…"):
                wrapped[-1] = self.cut(wrapped[-1] + "…", size, width)
        return wrapped

    def cut(self, text: str, size: int, width: float) -> str:
        """``text``, shortened with an ellipsis if it is wider than ``width`` pixels."""
        font = self.font(size)
        if font.size(text)[0] <= width:
            return text
        while text and font.size(text + "…")[0] > width:
            text = text[:-1]
        return text.rstrip() + "…"
