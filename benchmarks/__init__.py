"""Measures what a record costs, here and in what others would use instead: `make bench`."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = ROOT / "benchmarks" / ".cache"
PROJECT: Final = "bench-project"
API_KEY: Final = "bench-key-0123456789abcdef"
# The resource that peers know; ours is measured with the others as well.
PEER_RESOURCE: Final = "patients"
