"""Progress of a matrix on stderr: a line a cell."""

from __future__ import annotations

import threading

from mlcli.rendering.console import escape, message_console


class MatrixProgress:
    """Counts the cells that are over; nothing when quiet. Cells may end in several threads at once."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = message_console()
        self._is_quiet = quiet
        self._n_cells = self._n_over = 0
        self._lock = threading.Lock()

    def on_matrix(self, n_cells: int, n_known: int) -> None:
        self._n_cells, self._n_over = n_cells, n_known
        if n_known and not self._is_quiet:
            self._console.print(f"{n_known} of {n_cells} cells are known from before", markup=False)

    def on_start(self, label: str, seed: int) -> None:
        return None

    def on_end(self, label: str, seed: int, seconds: float | None, accuracy: float | None, reason: str | None) -> None:
        with self._lock:
            self._n_over += 1
            if self._is_quiet:
                return
            parts = [f"[{self._n_over}/{self._n_cells}]", label, f"seed {seed}"]
            parts += [f"accuracy {accuracy:.4f}"] if accuracy is not None else []
            parts += [f"{seconds:.1f} s"] if seconds is not None else []
            self._console.print(escape("  ".join(parts)) + (f"  [red]{escape(reason)}[/red]" if reason else ""))
