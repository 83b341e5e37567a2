"""How long and how often things are measured: all of it, or just enough to see that it works."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Plan:
    """The extent of a benchmark.

    Attributes:
        rounds: How often each job and each start has its turn; medians are of so many runs.
        edge_rounds: The same of servers: many and short, so that all of a round have about the same
            machine. Its speed can halve within a minute.
        edge_seconds: How long one load of a round lasts.
        seconds: How long one load lasts elsewhere.
        warm_up: How long a server is loaded before it counts.
        peers: Whether peers take part, and all resources.
        pipeline_records: How many records a Beam job of ours carries.
        stock_records: The same for the stock sink, which is slower: 1,000 or more, as one
            pack, which the shortest job carries, is taken off.
        curve_seconds: How long a point of a growth curve is loaded.
        memory_records: How many records an endpoint takes while its memory is watched.
        end_to_end_seconds: How long the embedded stack is loaded.
    """

    rounds: int = 3
    edge_rounds: int = 7
    edge_seconds: float = 0.5
    seconds: float = 2.0
    warm_up: float = 0.5
    peers: bool = True
    pipeline_records: int = 14_000
    stock_records: int = 1_000
    curve_seconds: float = 0.5
    memory_records: int = 100_000
    end_to_end_seconds: float = 2.5


# What `--long` watches the memory over.
LONG_RECORDS: Final = 5_000_000

FULL = Plan()
QUICK = Plan(
    rounds=1,
    edge_rounds=2,
    edge_seconds=0.3,
    seconds=0.3,
    warm_up=0.1,
    peers=False,
    pipeline_records=2_000,
    stock_records=1_000,
    curve_seconds=0.2,
    memory_records=5_000,
    end_to_end_seconds=1.0,
)
