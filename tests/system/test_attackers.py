"""What costs most harms nobody else: no worker ends, and every small request is answered."""

from collections import Counter
from pathlib import Path

import pytest

from tests.system.attackers import ATTACKS, attacked, scene, small


@pytest.mark.slow
def test_ten_attackers_take_nobody_down(tmp_path: Path, default_model_path: Path) -> None:
    seen: Counter[tuple[str, int]] = Counter()
    with scene(tmp_path, default_model_path) as (server, secrets), server.client() as client:
        small(client)
        with attacked(server.base_url, secrets, seen):
            for _ in range(5):
                small(client)  # asserts that it is answered
        assert server.worker()["restarts"] == 0
    assert {name for name, _ in seen} == set(ATTACKS)
    assert not [status for _, status in seen if status >= 500]
