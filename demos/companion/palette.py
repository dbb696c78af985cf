"""The colours, in one place."""

from __future__ import annotations

from astrasim import Source

GRASS, GRASS_DARK, GRASS_LIGHT = (122, 148, 104), (108, 135, 95), (136, 160, 114)
SAND, WATER, WATER_LIGHT = (196, 186, 146), (92, 139, 163), (120, 164, 184)
ROAD, PLANK, PLANK_DARK = (186, 168, 128), (156, 122, 86), (112, 86, 62)
ROCK, ROCK_LIGHT, ROCK_DARK = (140, 140, 134), (172, 171, 163), (96, 98, 96)
LEAF, LEAF_LIGHT, LEAF_DARK = (72, 108, 76), (94, 132, 90), (50, 80, 60)
ROOF, ROOF_LIGHT, ROOF_DARK = (170, 98, 78), (194, 122, 98), (128, 72, 60)
FIELD, FIELD_DARK = (194, 176, 108), (170, 150, 88)
TENT, TENT_DARK = (150, 82, 84), (118, 62, 68)
SHADOW = (40, 52, 40)

PANEL, PANEL_LINE, CARD = (24, 28, 35), (52, 59, 70), (32, 37, 46)
TEXT, DIM, FAINT = (230, 234, 239), (152, 162, 176), (104, 114, 128)
GOOD, FAIR, BAD = (116, 196, 128), (232, 190, 96), (228, 100, 84)

PLAYER, COMPANION = (86, 150, 232), (74, 198, 176)
RAIDER, THROWER, CAPTAIN, WARLORD = (196, 82, 64), (214, 138, 72), (134, 72, 140), (92, 42, 78)
PACK = (240, 240, 236)
FOLK = (222, 214, 186)

SOURCES = {Source.LLM: (255, 200, 72), Source.CACHE: (110, 190, 255), Source.HEURISTIC: (150, 158, 166)}
"""The mark of each source of a plan."""
SHOTS = {"player": (250, 246, 214), "companion": (170, 250, 232), "minion": (255, 206, 160), "boss": (240, 160, 255)}
