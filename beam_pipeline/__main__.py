"""Lets `python -m beam_pipeline` start the job."""

import sys

from beam_pipeline.main import main

if __name__ == "__main__":
    sys.exit(main())
