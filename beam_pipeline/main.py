"""Starts the job: hands it to Dataflow, or runs it here until a signal ends it."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult

from beam_pipeline.metrics import counter_values
from beam_pipeline.options import OptionError, VitalflowOptions
from beam_pipeline.pipeline import build_pipeline
from beam_pipeline.storage_write import close_shared_streams
from schemas.registry import SchemaError, load_registry, load_system_registry

_logger = logging.getLogger(__name__)

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
# The DirectRunner acknowledges what it reads at once and drops what it holds when it is cancelled:
# it is given time to work that off, until its counters stand still.
_STILL_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 5.0
_USAGE_ERROR: Final = 2
# By this name Beam chooses among runners, and first downloads one that cannot read Pub/Sub.
_DIRECT_RUNNERS: Final = (None, "DirectRunner")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job and return the process's exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # It tells of every type hint that it cannot read.
    logging.getLogger("apache_beam.typehints").setLevel(logging.WARNING)
    options = PipelineOptions(list(argv) if argv is not None else None)
    standard = options.view_as(StandardOptions)
    standard.streaming = True
    if standard.runner in _DIRECT_RUNNERS:
        standard.runner = "BundleBasedDirectRunner"
    ours = options.view_as(VitalflowOptions)
    try:
        ours.check()
        registry = {**load_registry(), **load_system_registry()}
    except (OptionError, SchemaError) as error:
        print(f"beam_pipeline: {error}", file=sys.stderr)  # noqa: T201  # a terminal's answer
        return _USAGE_ERROR
    pipeline = beam.Pipeline(options=options)
    build_pipeline(pipeline, ours, registry)
    if ours.is_dataflow:
        pipeline.run()  # returns once Dataflow has taken the job
        return 0
    return _run_here(pipeline, ours.ready_file)


def _run_here(pipeline: beam.Pipeline, ready_file: str | None) -> int:
    stop = threading.Event()
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    result = pipeline.run()
    failures: list[BaseException] = []
    threading.Thread(target=_watch, args=(result, failures, stop), daemon=True).start()
    if ready_file:
        _write_whole(Path(ready_file), f"{os.getpid()}\n")
    _logger.info("The job runs")
    stop.wait()
    if failures:
        _logger.error("The job failed: %s", type(failures[0]).__name__)
        return 1
    _work_off(result)
    # It waits for the step in hand, and a read from a Pub/Sub that is away can take minutes.
    canceller = threading.Thread(target=result.cancel, daemon=True)
    canceller.start()
    canceller.join(_LONGEST_WAIT_SECONDS)
    close_shared_streams()
    _logger.info("The job was ended by a signal")
    return 0


def _watch(result: PipelineResult, failures: list[BaseException], stop: threading.Event) -> None:
    """Wake the main thread, which alone may handle signals, when the job ends by itself."""
    try:
        result.wait_until_finish()
    except Exception as error:  # noqa: BLE001  # whatever it is, it ended the job
        failures.append(error)
    stop.set()


def _work_off(result: PipelineResult) -> None:
    deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
    seen = counter_values(result.metrics())
    while time.monotonic() < deadline:
        time.sleep(_STILL_SECONDS)
        last, seen = seen, counter_values(result.metrics())
        if seen == last:
            return


def _write_whole(path: Path, text: str) -> None:
    """Write so that whoever waits for the file never reads half of it."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
