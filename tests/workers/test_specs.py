"""Settings of workers by variables of the function."""

import pytest

from minifn.workers.specs import concurrency_of, tmp_mb

NO_NUMBERS = ("", "0", "-1", "x", "1e3", "٣", "9" * 5000)


@pytest.mark.parametrize(
    ("text", "megabytes"), [("64", 64), ("4096", 512), *((text, 512) for text in NO_NUMBERS)]
)
def test_a_function_can_have_a_smaller_tmp(text: str, megabytes: int) -> None:
    assert tmp_mb(512, {"MINIFN_TMP": text}) == megabytes
    assert tmp_mb(512, {}) == 512


@pytest.mark.parametrize(
    ("text", "requests"),
    [("1", 1), ("16", 16), ("100000", 200), *((text, 64) for text in NO_NUMBERS)],
)
def test_a_function_sets_how_many_requests_one_worker_runs(text: str, requests: int) -> None:
    assert concurrency_of({"MINIFN_CONCURRENCY": text}) == requests
    assert concurrency_of({}) == 64
