"""Layers replaced by cheaper products of layers."""
