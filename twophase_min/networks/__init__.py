"""Small networks over flat parameter vectors, with hand-derived gradients."""

from twophase_min.networks.elementwise import Huber, Quantile
from twophase_min.networks.mlp import MLP

__all__ = ["MLP", "Huber", "Quantile"]
