"""Points of a sweep on the workers of a Dask scheduler (extra ``cluster``).

A worker returns a result and this process writes it, so workers need no file system in common with it, and xarray,
which on a worker locks every file through the scheduler, writes nothing there. What a lost worker was doing, or had
done and not delivered, is given to another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from biospike.errors import InputError
from biospike.standalone import RunError

MISSING = "Dask is not installed; install the extra: pip install 'biospike[cluster]'"
PATIENCE = 60
"""Seconds to wait for the scheduler, and for its first worker."""


def compute(points: dict[str, Any], scheduler: str, work: Callable[[Any, str], Any]) -> Iterator[tuple[str, Any]]:
    """Run ``work(point, key)`` on the workers, and yield (key, result) as they are done.

    Raises
    ------
    InputError
        If Dask is not installed, or nobody answers at `scheduler`.
    biospike.standalone.RunError
        Of `work`, or if a point loses its worker again and again.
    """
    try:
        import distributed  # noqa: PLC0415  (an extra)
    except ImportError:
        raise InputError(MISSING) from None
    try:
        client = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise InputError(f"--scheduler {scheduler}: it has no worker after {PATIENCE} s; start one") from None
        # Another name than the key's alone: two clients of one scheduler must not share, hence cancel, each other's.
        futures = {
            client.submit(work, point, key, key=f"biospike-{key}-{client.id}", pure=False): key
            for key, point in points.items()
        }
        try:
            for future, result in distributed.as_completed(list(futures), with_results=True, loop=client.loop):
                key = futures.pop(future)
                # Otherwise the worker keeps the result until the end.
                future.release()
                yield key, result
        except distributed.KilledWorker as error:
            raise RunError(f"a point lost its worker too often ({error}); is there enough memory?") from None
