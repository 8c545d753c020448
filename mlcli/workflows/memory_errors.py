"""Running out of memory, told apart from other failures whatever the framework calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlcli.errors import OutOfMemoryError


@contextmanager
def translated_memory_errors(batch_size: int | None) -> Iterator[None]:
    """Raise OutOfMemoryError in place of Python's, numpy's and torch's own, with what may help."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        advice = "use fewer samples (--limit)"
        if batch_size and batch_size > 1:
            advice = f"batch_size was {batch_size}; --batch-size {batch_size // 2} may fit"
        raise OutOfMemoryError(f"out of memory: {str(error).splitlines()[0]}\n{advice}") from error


def _is_out_of_memory(error: BaseException) -> bool:
    # torch.OutOfMemoryError is known by name, so that torch need not be imported; its CPU allocator raises a plain
    # RuntimeError.
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator: can't allocate memory" in text
        or "DefaultCPUAllocator: not enough memory" in text
    )
