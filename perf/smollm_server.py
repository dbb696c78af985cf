"""A real OpenAI-compatible server on the loopback: llama.cpp, from `xllamacpp`, with SmolLM2-135M-Instruct.

    python -m astrasim.perf.smollm_server --port 0

It is what the OpenAI-compatible client is tested against, because its timing, its streams and its errors are nobody's
imitation. The model is too small to plan well. The server wants a key (``Authorization: Bearer ...``): any web page
that the user has open can reach the loopback.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..errors import WeightsError
from ..gateway import weights
from ..gateway.llama import cores_for_a_model
from . import processes

MODEL = weights.NAME
_KEY_VARIABLE = "ASTRASIM_SMOLLM_KEY"


class ServerAddress(NamedTuple):
    """Where the server is: its base URL, without ``/v1``, and the key that it wants."""

    url: str
    api_key: str


@contextmanager
def smollm_server(*, threads: int | None = None, parallel: int = 2) -> Iterator[ServerAddress]:
    """The server in a process of its own for the length of the block. Fetches the weights (93 MB) the first time.

    Args:
        threads: threads that compute; all cores but one by default.
        parallel: requests answered at once; they share 4,096 tokens of context.

    Raises:
        WeightsError: the weights are not there and cannot be fetched.
        ServerStartError: the process did not start, for example because xllamacpp is not installed.
    """
    file = weights.find_or_fetch()
    key = secrets.token_urlsafe(24)
    arguments = ["--weights", str(file), "--parallel", str(parallel)]
    if threads is not None:
        arguments += ["--threads", str(threads)]
    # The key goes by the environment: every user of the machine can read a command line.
    environment = {_KEY_VARIABLE: key}
    with processes.server_process(
        "astrasim.perf.smollm_server", arguments, start_s=60.0, environment=environment
    ) as server:
        yield ServerAddress(server.url, key)


def serve(file: Path, key: str, *, port: int, threads: int, parallel: int, context: int) -> tuple[object, str]:
    """Load the weights `file` and serve them on the loopback: (the server, which lives as long as it is kept; its URL).

    Raises:
        SystemExit: xllamacpp is not installed, or it cannot start; the message says which.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise SystemExit(f"xllamacpp cannot be imported ({error}): pip install 'astrasim[embedded]'") from None
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.api_keys = [key]
    params.cors_origins = ""  # no web page may read an answer
    params.ui = False
    params.n_ctx = context
    params.n_parallel = parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_gpu_layers = 0  # the same on every machine
    params.cache_ram_mib = 0  # no second prompt cache beside the slots' own, which would grow to 8 GiB
    params.verbosity = -1
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise SystemExit(f"llama.cpp cannot serve {file} on port {port} ({error}); is the port free?") from None
    return server, server.listening_address


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m astrasim.perf.smollm_server", description="A small real model.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    parser.add_argument("--api-key", help=f"the key to ask for (default: {_KEY_VARIABLE}, or a new one)")
    parser.add_argument("--weights", type=Path, help="the .gguf file (default: the user's cache, fetched if need be)")
    parser.add_argument("--threads", type=int, default=cores_for_a_model(), help="all cores but one")
    parser.add_argument("--parallel", type=int, default=2, help="requests answered at once (default 2)")
    parser.add_argument("--context", type=int, default=4096, help="tokens of context that they share (default 4096)")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin ends")
    options = parser.parse_args(arguments)
    if options.exit_with_parent:
        processes.exit_with_parent()
    processes.give_way()
    try:
        file = options.weights or weights.find_or_fetch()
    except WeightsError as error:
        raise SystemExit(str(error)) from None
    key = options.api_key or os.environ.get(_KEY_VARIABLE) or secrets.token_urlsafe(24)
    server, url = serve(
        file, key, port=options.port, threads=options.threads, parallel=options.parallel, context=options.context
    )
    if not options.exit_with_parent:
        print("For AstraSim, in another terminal:", flush=True)
        print(f"  export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={key}")
        print(f"  export ASTRASIM_MODEL_NAME={MODEL} ASTRASIM_MAX_IN_FLIGHT={options.parallel} ASTRASIM_DEADLINE_S=30")
        sys.stdout.flush()
    processes.announce("smollm server", url)
    try:
        while True:  # an endless wait could not be interrupted on Windows
            time.sleep(1.0)
    except KeyboardInterrupt:
        del server


if __name__ == "__main__":
    main()
