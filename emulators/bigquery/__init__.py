"""BigQuery for the embedded stack: bqemulator with its gaps closed, as strict as the real one."""

from emulators.bigquery.emulator import SERVICES, BigQueryEmulator

__all__ = ["SERVICES", "BigQueryEmulator"]
