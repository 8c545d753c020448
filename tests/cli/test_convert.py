"""`mlcli convert`: output, files and exit codes."""

from __future__ import annotations

ID = "20260101T000000Z_digits"


def test_a_file_is_written_and_its_code_is_printed(cli, stored_runs, tmp_path):
    arguments = ("convert", ID, "--runs-dir", stored_runs, "--to", "torch", "--output", "digits.safetensors")
    process = cli(*arguments)
    assert process.returncode == 0, process.stderr
    assert "changed predictions" in process.stdout
    assert "model.load_state_dict(load_file('digits.safetensors'))\n" in process.stdout
    assert (tmp_path / "digits.safetensors").stat().st_size > 0
    again = cli(*arguments)
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_beyond_the_tolerance_the_exit_code_is_1_and_nothing_is_written(cli, stored_runs, tmp_path):
    arguments = ("--runs-dir", stored_runs, "--to", "torch", "--output", "digits.safetensors", "--tolerance", "-1")
    process = cli("convert", ID, *arguments)
    assert process.returncode == 1
    assert "digits.safetensors was not written: scores differ by" in process.stderr
    assert "changed predictions" in process.stdout
    assert not list(tmp_path.glob("*digits*"))


def test_an_unknown_format_and_a_damaged_run_have_their_exit_codes(cli, digits_copy, tmp_path):
    unknown = cli("convert", digits_copy, "--to", "tensorflow", "--output", "x.h5")
    assert unknown.returncode == 2
    assert "unknown format 'tensorflow'" in unknown.stderr
    weights = digits_copy / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    damaged = cli("convert", digits_copy, "--to", "torch", "--output", "x.safetensors")
    assert damaged.returncode == 3
    assert "weights.safetensors was altered" in damaged.stderr
