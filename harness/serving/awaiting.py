"""Wait for what is written to be awaited, from code that is not. Knows no request."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")


def awaited(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Return what the coroutine returns, and raise what it raises. In a thread that has an event loop already (a notebook) it gets another."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
