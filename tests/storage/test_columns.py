"""Column types: an instant is the same instant in every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from safeconduct.storage import UtcTime, host_column

_DIALECT = create_engine("sqlite://").dialect
_INSTANTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5.5))]))


@given(_INSTANTS)
def test_an_instant_comes_back_as_it_was(instant: datetime) -> None:
    stored = UtcTime().process_bind_param(instant, _DIALECT)

    assert UtcTime().process_result_value(stored, _DIALECT) == instant


@given(_INSTANTS, _INSTANTS)
def test_stored_instants_compare_like_instants(left: datetime, right: datetime) -> None:
    stored = [UtcTime().process_bind_param(each, _DIALECT) for each in (left, right)]

    assert (stored[0] < stored[1]) == (left < right)  # type: ignore[operator]  neither is None


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        UtcTime().process_bind_param(datetime(2026, 1, 1), _DIALECT)  # noqa: DTZ001  the point


def test_nothing_stays_nothing() -> None:
    assert UtcTime().process_bind_param(None, _DIALECT) is None
    assert UtcTime().process_result_value(None, _DIALECT) is None


def test_the_tenants_column_is_part_of_the_key() -> None:
    assert host_column().primary_key
