"""Circuits of spiking attention, one a file."""

from circuits.softmax import SOFTMAX_CIRCUITS

__all__ = ["SOFTMAX_CIRCUITS"]
