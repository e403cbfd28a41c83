"""Searches: what `-m hydra/sweeper=optuna` does from the space to the winner."""

import logging

logging.getLogger("alembic").setLevel(logging.WARNING)  # Optuna's; it tells of each of its plugins
