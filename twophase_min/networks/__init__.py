"""Small networks over flat parameter vectors, with hand-derived gradients."""

from twophase_min.networks.mlp import MLP

__all__ = ["MLP"]
