"""Budgets of bytes and slots."""

import pytest

from minifn.errors import Overloaded
from minifn.host.budget import Budget, Budgets
from minifn.limits import BODIES_BYTES_MAX

MIB = 1024 * 1024


def test_taken_and_given_back() -> None:
    budget = Budget(2)
    budget.take(2)
    with pytest.raises(Overloaded):
        budget.take(1)
    budget.give(1)
    budget.take(1)
    assert budget.used == 2


@pytest.mark.parametrize(("memory", "bodies"), [(256 * MIB, 64 * MIB), (1 << 62, BODIES_BYTES_MAX)])
def test_bodies_get_half_of_a_small_memory(memory: int, bodies: int) -> None:
    """Two budgets of 512 MiB are more than a small control group has."""
    budgets = Budgets(memory)
    for budget in (budgets.bodies, budgets.answers):
        budget.take(bodies)
        with pytest.raises(Overloaded):
            budget.take(1)
