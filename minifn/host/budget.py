"""Something of which a server has only so much."""

from minifn.errors import Overloaded


class Budget:
    """Counts what is in use; what would be too much is refused."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.used = 0

    def take(self, amount: int) -> None:
        """Take `amount`, to be given back. Raises Overloaded when less is left."""
        if self.used + amount > self._capacity:
            raise Overloaded
        self.used += amount

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        self.used -= amount
