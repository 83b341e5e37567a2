"""The embedded stack: what a laptop runs in place of Google Cloud, with faults on demand."""
