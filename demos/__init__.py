"""Programs that draw with pygame; installed as astrasim.demos."""

if __name__ != "astrasim.demos":
    raise ImportError(
        f"'demos' was imported as {__name__!r}: write 'import astrasim.demos' instead. Under two names Python"
        " loads two copies of every class, and esper, finding components by class, silently misses those of the other. "
        "(If astrasim.demos is not found: pip install -e . in the source tree, or pip install astrasim.)"
    )
