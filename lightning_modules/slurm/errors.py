"""What ends a multirun on a cluster, rather than one of its trials."""

from lightning_modules.errors import ConfigError


class SubmissionError(ConfigError):
    """SLURM takes no jobs from here, in one sentence; jobs at work go on."""
