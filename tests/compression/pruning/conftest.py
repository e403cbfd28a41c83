"""Nodes of conf/model for these tests."""

from tests.networks.conftest import model_cfg

__all__ = ["model_cfg"]
