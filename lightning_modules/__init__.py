"""What learns: configuration, runs, networks, training, search, deployment and reports.

Nothing heavy is imported until a name is asked for.
"""

from lightning_modules.registry import install_aliases

install_aliases()
