"""Stress runs, the tuner and comparisons; installed as astrasim.perf."""

if __name__ != "astrasim.perf":
    raise ImportError(
        f"'perf' was imported as {__name__!r}: write 'import astrasim.perf' instead. Under two names Python"
        " loads two copies of every class, and esper, finding components by class, silently misses those of the other. "
        "(If astrasim.perf is not found: pip install -e . in the source tree, or pip install astrasim.)"
    )
