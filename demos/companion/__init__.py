"""Hold the bridge: the companion demo, ``astrasim demo``.

The game is in ``valley`` (the map), ``domain`` and ``minds`` (who knows, can and does what), ``orders`` (plain words),
``game`` and ``waves`` (the rules), none of which draws. The window is in ``app`` (the loop), ``controls``, ``scene``,
``hud`` and ``panel``.
"""
