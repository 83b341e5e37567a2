"""The limits of every platform that a record passes: no step may be looser than the next.

Sizes are in bytes. Each constant names the page it comes from; those without one are Vitalflow's
own choice, made so that whatever is accepted fits every later hop.
"""

from typing import Final

# --- Pub/Sub: https://cloud.google.com/pubsub/quotas#resource_limits
PUBSUB_MAX_MESSAGES: Final = 1_000
PUBSUB_MAX_REQUEST_BYTES: Final = 10_000_000
PUBSUB_MAX_MESSAGE_BYTES: Final = 10_000_000
PUBSUB_MAX_ATTRIBUTES: Final = 100
PUBSUB_MAX_ATTRIBUTE_KEY_BYTES: Final = 256
PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES: Final = 1_024

# --- BigQuery Storage Write API: https://cloud.google.com/bigquery/quotas#write-api-limits
STORAGE_WRITE_MAX_REQUEST_BYTES: Final = 10 * 1024 * 1024
# What the request spends besides its rows: stream name, descriptor, framing.
STORAGE_WRITE_OVERHEAD_BYTES: Final = 50 * 1024

# --- BigQuery tables: https://cloud.google.com/bigquery/quotas#all_tables
BIGQUERY_MAX_COLUMNS: Final = 10_000
BIGQUERY_MAX_NESTING: Final = 15
BIGQUERY_MAX_NAME_CHARS: Final = 300
BIGQUERY_MAX_DESCRIPTION_CHARS: Final = 1_024
BIGQUERY_MAX_CLUSTER_COLUMNS: Final = 4

# --- BigQuery values: https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
# JSON numbers are IEEE 754 doubles (RFC 8259, section 6): beyond 2^53 - 1 they skip integers, so
# money sent as a number is not exact there. Sent as a string it may use NUMERIC's whole range.
NUMERIC_MAX_EXACT_NUMBER: Final = 2**53 - 1

# --- Secret Manager: https://cloud.google.com/secret-manager/quotas#content_limits
SECRET_MAX_PAYLOAD_BYTES: Final = 65_536

# --- The endpoint's own. Cloud Run takes 32 MiB a request over HTTP/1
# (https://cloud.google.com/run/quotas#request_limits); the tighter bound is what Pub/Sub carries.
MAX_BODY_BYTES: Final = 10_000_000  # as received, and again after decompression
# A record grows by about 300 bytes of audit columns, so that records without number would make of
# a body that is accepted one that is not. 10 MB hold this many of 1 KB.
MAX_BODY_RECORDS: Final = 10_000
MAX_RECORD_BYTES: Final = 1_000_000  # one record always fits a packed message and an append
PACK_MAX_RECORDS: Final = 500
PACK_MAX_BYTES: Final = 1_000_000

# --- Validation's own. BigQuery's JSON type nests 500 deep, orjson writes 254.
MAX_DEPTH: Final = 100
MAX_ERRORS_PER_RECORD: Final = 100
