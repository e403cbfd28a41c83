"""Searches: what `-m hydra/sweeper=optuna` does from the space to the winner, on Optuna.

It may import `reporting`, to which it hands its results, and the rooms below both.
"""

import logging

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

logging.getLogger("alembic").setLevel(logging.WARNING)  # Optuna's; it tells of each of its plugins
