"""The steps of the job, one a module."""

from typing import Final, Literal

from apache_beam.pvalue import TaggedOutput

from beam_pipeline.dead_letters import DeadLetter

# Outputs of the steps that can fail.
GOOD: Final = "good"
DEAD: Final = "dead"
Dead = TaggedOutput[Literal["dead"], DeadLetter]
