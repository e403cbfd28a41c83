"""Searches: what `-m hydra/sweeper=optuna` does from the space to the answer."""

import logging

logging.getLogger("alembic").setLevel(logging.WARNING)  # Optuna's; it tells of each of its plugins
