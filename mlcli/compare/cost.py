"""The wording of what a matrix cost, and of what a planned one would cost."""

from __future__ import annotations

from collections.abc import Sequence

from mlcli.compare.records import MatrixCost, PlannedCell


def cost_sentence(cost: MatrixCost) -> str:
    """Return what the matrix cost, e.g. `9 cells: 4 reused, 5 run in 31.2 s (their runs 22.0 s, ...)`."""
    counts = [f"{cost.n_reused} reused"] if cost.n_reused else []
    counts += [f"{cost.n_failed} failed"] if cost.n_failed else []
    if not cost.n_run:
        return f"{cost.n_cells} cells: {', '.join(counts) or 'none run'}"
    rest = cost.wall_seconds - cost.cells_seconds - cost.starting_seconds
    parts = [f"their runs {cost.cells_seconds:.1f} s", f"starting processes {cost.starting_seconds:.1f} s"]
    parts += [] if cost.contended or cost.n_failed else [f"the rest {max(rest, 0):.2f} s"]
    counts.append(f"{cost.n_run} run in {cost.wall_seconds:.1f} s ({', '.join(parts)})")
    return f"{cost.n_cells} cells: {', '.join(counts)}"


def planned_sentence(cells: Sequence[PlannedCell]) -> str:
    """Return how many cells would run, and how long that would take."""
    n_to_run = sum(cell.state == "to run" for cell in cells)
    seconds, n_unknown = planned_seconds(cells)
    unknown = f"; {n_unknown} of them without an estimate, because no similar run has finished" if n_unknown else ""
    about = f", about {seconds:,.0f} s plus the start of their processes" if n_unknown < n_to_run else ""
    return f"{len(cells)} cells, {n_to_run} to run{about}{unknown}"


def planned_seconds(cells: Sequence[PlannedCell]) -> tuple[float, int]:
    """Return the estimate for the cells that have one, and the number of those that have none."""
    to_run = [cell.seconds for cell in cells if cell.state == "to run"]
    return sum(seconds for seconds in to_run if seconds is not None), to_run.count(None)
