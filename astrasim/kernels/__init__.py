"""Numba kernels. Each has one signature, whatever the domain: a domain is data to them, so editing it compiles nothing.

``fastmath`` never includes ``nnan``: with it, LLVM deletes the checks for NaN.
"""

FASTMATH = {"contract", "nsz", "arcp"}
