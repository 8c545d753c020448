"""Out-of-memory errors, recognised whatever library raises them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlcli.errors import OutOfMemoryError


@contextmanager
def translated_memory_errors(advice: str) -> Iterator[None]:
    """Raise OutOfMemoryError, with advice, in place of the errors that Python, numpy and torch raise."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(f"out of memory: {first_line(error)}\n{advice}") from error


def batch_advice(batch_size: int | None) -> str:
    """Return advice for when a batch does not fit into memory."""
    if batch_size and batch_size > 1:
        return f"batch_size was {batch_size}; --batch-size {batch_size // 2} may fit"
    return "use fewer samples (--limit)"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none, as Python's own MemoryError."""
    return (str(error) or type(error).__name__).splitlines()[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of any library means that memory ran out."""
    # torch.OutOfMemoryError is recognised by name, so that torch need not be imported; torch's CPU allocator raises a
    # plain RuntimeError.
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator: can't allocate memory" in text
        or "DefaultCPUAllocator: not enough memory" in text
    )
