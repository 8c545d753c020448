"""The names of run directories."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlcli.runs.names import as_stamp, moment_of, new_name, short_id, stamp_of

MOMENT = datetime(2026, 11, 25, 13, 10, 38, 30_999, UTC)


def test_a_new_name_has_its_time_and_a_short_id_that_is_no_number():
    names = {new_name(MOMENT, "digits_mlp", "torch", 0) for _ in range(50)}
    for name in names:
        assert name.startswith("20261125T131038030Z_digits_mlp_torch_s0_")
        short = short_id(name)
        assert len(short) == 7
        assert short[0].isalpha()
        assert name.endswith(f"_{short}")
        assert moment_of(stamp_of(name)) == MOMENT.replace(microsecond=30_000)
    assert len(names) == 50


@pytest.mark.parametrize(
    ("name", "stamp", "short"),
    [
        ("20261122T131516Z_digits_mlp_torch_s0_9c336e", "20261122131516000", "9c336e"),  # of version 0.1.0
        ("20261122T131516123Z_x_keras_s1_a1b2c3d", "20261122131516123", "a1b2c3d"),
        ("20261122T131516123Z_x", "20261122131516123", None),
        ("torch", None, None),
        ("sweep_a1b2c3d", None, None),
    ],
)
def test_what_a_name_says(name, stamp, short):
    assert stamp_of(name) == stamp
    assert short_id(name) == short


@pytest.mark.parametrize(
    ("created", "stamp"),
    [
        ("2026-11-22T13:15:16.123+00:00", "20261122131516123"),
        ("2026-11-22T14:15:16.123+01:00", "20261122131516123"),
        ("0001-01-01T00:00:00+23:00", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_a_time_in_a_record_as_a_stamp(created, stamp):
    assert as_stamp(created) == stamp


def test_digits_that_are_no_time():
    assert moment_of("20269922131516123") is None
