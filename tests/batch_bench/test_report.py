"""The report of a benchmark record with fixed values in each output format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from mlcli.batch_bench.report import print_batch_bench, seconds_text


def printed(capsys, output_format, record):
    print_batch_bench(record, output_format)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.234e-6, "1.23 µs"), (12.34e-6, "12.3 µs"), (0.0009996, "1.00 ms"), (0.1234, "123 ms"), (12.34, "12.3 s")],
)
def test_times_have_three_digits_and_a_suitable_unit(seconds, text):
    assert seconds_text(seconds) == text


def test_the_table_shows_all_statistics_of_a_size(record, capsys):
    lines = printed(capsys, "table", record).splitlines()
    row = next(line for line in lines if "│ 1,000 │" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == [
        "1,000", "60", "2.303", "12.5 ms", "4.0%", "4%", "15.0 ms", "12.5 µs", "80,000", "12.3x", "32.0", "21%",
        "600 MiB", "900 ms",
    ]  # fmt: skip


def test_a_size_without_memory_and_a_phase_without_steps_are_reported(record, capsys):
    text = printed(capsys, "table", record)
    row = next(line for line in text.splitlines() if "│ 7,000 │" in line)
    assert "9, last 4,000" in row
    assert "out of memory" in row
    assert "7,000: out of memory: 9 GiB asked for" in text
    assert (
        "sklearn, training: mnist mlp, cpu, 2 threads, float32, batches already on the device: not applicable" in text
    )


def test_the_closing_sentences_tell_which_size_to_use_and_what_it_costs(record, capsys):
    text = printed(capsys, "table", record)
    assert (
        "torch, training: use batch size 1,000 (80,000 samples/s, within 5 % of peak throughput, 82,000 at 6,000); "
        "60 steps per epoch instead of 469 with batch size 128\n"
        "  mlcli train --batch-size 1000\n"
    ) in text
    assert "measured for 18.0 s of 20.0 s, after 10.0 s of start-up (10% warm-up and overhead)" in text
    assert "±: half-width of the 95 % CI of the median" in text


def test_each_engine_has_a_line_on_its_samples_and_its_peak(record, capsys):
    assert (
        "torch: 6 of 8 samples undisturbed (speed probe within 10 % of its best, 26.0 µs); "
        "peak 150 GFLOP/s (matrix products up to 1,000 x 1,000)\n"
    ) in printed(capsys, "table", record)


def test_threads_are_named_if_there_are_several_counts(record, capsys):
    several = replace(record, engines=(*record.engines, replace(record.engines[0], threads=1)))
    assert "torch with 2 threads, training: use batch size" in printed(capsys, "table", several)


@pytest.mark.parametrize(
    ("width", "shown", "left_out"), [(100, "first", "p95"), (60, "samples/s", "IQR"), (20, "samples/s", "IQR")]
)
def test_a_narrow_terminal_gets_the_most_important_columns_and_no_number_is_cut(
    record, capsys, monkeypatch, width, shown, left_out
):
    monkeypatch.setenv("COLUMNS", str(width))
    text = printed(capsys, "table", record)
    table, _, dropped = text.partition("not shown here:")
    assert shown in table
    assert left_out not in table
    assert left_out in dropped
    assert "…" not in text
    for word in ("9,", "4,000", "12.5", "ms", "80,000", "7,000"):
        assert word in table.split()
    sentence = next(line for line in text.splitlines() if "use batch size" in line)
    assert sentence.endswith("instead of 469 with batch size 128")


def test_json_holds_raw_samples_and_what_is_derived(record, capsys):
    document = json.loads(printed(capsys, "json", record))
    first = document["series"][0]
    assert first["samples"] == [0.0125] * 6 + [0.0225] * 2
    assert first["probes"] == [26e-6] * 6 + [50e-6] * 2
    assert first["disturbed"] == [False] * 6 + [True] * 2
    assert first["statistics"]["half_width"] == pytest.approx(0.04)
    assert first["statistics"]["spread"] == pytest.approx(0.04)
    assert document["engines"][0]["matrix_products"] == [{"n": 1000, "seconds": [0.0133, 0.0140]}]
    assert document["engines"][0]["peak_flops"] == pytest.approx(2e9 / 0.0133)
    assert document["timing"]["harness_seconds"] == pytest.approx(1.0)
    assert document["advice"][0]["sentence"].startswith("torch, training: use batch size 1,000")
    assert document["warnings"] == ["a warning"]
    assert document["series"][1]["statistics"] is None
    assert document["engines"][0]["fastest_probe_seconds"] == 26e-6


def test_csv_has_a_row_per_series_in_plain_units(record, capsys):
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "csv", record))))
    assert [row["status"] for row in rows] == ["measured", "out of memory", "not applicable"]
    assert float(rows[0]["median_seconds"]) == 0.0125
    assert float(rows[0]["median_high_seconds"]) == 0.013
    assert rows[0]["transfer"] == "excluded"
    assert (rows[0]["n_samples_taken"], rows[0]["n_samples_disturbed"]) == ("8", "2")
    assert float(rows[0]["median_of_all_seconds"]) == 0.013
    assert rows[1]["median_seconds"] == ""
    assert rows[2]["reason"] == "a single fit"


def test_markdown_has_a_table_per_series_and_the_command_as_code(record, capsys):
    lines = printed(capsys, "markdown", record).splitlines()
    assert lines[0].startswith("**torch, training")
    assert lines[2].startswith("| batch size | steps per epoch | loss | time per batch |")
    assert lines[4].startswith("| 1,000 | 60 | 2.303 | 12.5 ms |")
    assert "    mlcli train --batch-size 1000" in lines
