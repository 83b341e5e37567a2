"""Bounds what one process holds for Pub/Sub: beyond it, work is refused instead of died of."""


class Backlog:
    """Bounds what waits for Pub/Sub in this process, calls in flight included."""

    __slots__ = ("_max_messages", "_max_size", "messages", "size")

    def __init__(self, max_messages: int, max_size: int) -> None:
        self._max_messages = max_messages
        self._max_size = max_size
        self.messages = 0
        self.size = 0

    def take(self, messages: int, size: int) -> bool:
        """Make room for that many messages and bytes, or return False."""
        if self.messages + messages > self._max_messages or self.size + size > self._max_size:
            return False
        self.messages += messages
        self.size += size
        return True

    def give_back(self, messages: int, size: int) -> None:
        """Give back what was taken."""
        self.messages -= messages
        self.size -= size
