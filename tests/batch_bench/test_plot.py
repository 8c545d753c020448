"""The plots of a benchmark."""

from __future__ import annotations

from mlcli.batch_bench.plot import save_batch_bench_plots


def test_each_phase_that_was_measured_has_a_plot(record, tmp_path):
    (path,) = save_batch_bench_plots(record, tmp_path / "plots", "png")
    assert path.name == "batch_bench_training.png"
    assert path.read_bytes().startswith(b"\x89PNG")
