"""Wait for what is written to be awaited, from code that is not. Knows no request."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")


def awaited(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Return what the coroutine returns, and raise what it raises; where an event loop runs already (a notebook) it gets a thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
