"""A server that is told to end while it trains."""

import pytest

from .lab import arrive, running
from .serving import serving

pytestmark = [pytest.mark.alone, pytest.mark.slow]

MAX_SECONDS = 5.0


def test_a_server_ends_in_peace_with_a_run_under_way(visit, tmp_path):
    times = []
    while len(times) < 3 and min(times, default=MAX_SECONDS) >= MAX_SECONDS:
        folder = tmp_path / str(len(times))
        folder.mkdir()
        with serving(folder) as server:
            page = visit()
            arrive(page, server.address, "steps=20000")
            running(page)
            page.close()  # its complaint about the lost connection is no news
            times.append(server.end())
        assert server.process.returncode == 0
    print(f"ended after {times} s")
    assert min(times) < MAX_SECONDS
