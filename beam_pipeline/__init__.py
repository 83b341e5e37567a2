"""The Beam job that carries records from Pub/Sub to BigQuery and loses none of them."""

from typing import Final

__version__: Final = "0.1.0"
