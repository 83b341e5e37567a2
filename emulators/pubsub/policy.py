"""What of a subscription's settings governs its deliveries; it may change while they go on."""

from dataclasses import dataclass


@dataclass(slots=True)
class Policy:
    """Backoffs are in seconds; a maximum of 0 redelivers at once."""

    ordered: bool = False
    retain_acked: bool = False
    min_backoff: float = 0.0
    max_backoff: float = 0.0
    max_attempts: int = 0  # 0: no dead-letter policy

    def backoff(self, failures: int) -> float:
        """How long a message waits after its n-th failure: twice as long each time."""
        # 2 to the power of 20 times any minimum is over every maximum; more would overflow.
        return float(min(self.min_backoff * 2 ** min(failures - 1, 20), self.max_backoff))
