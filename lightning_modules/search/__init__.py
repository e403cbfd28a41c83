"""Searches: what `-m hydra/sweeper=optuna` does from the space to the answer."""
