"""Audit of a model: its attention rows and spiking nodes, taken out by hooks and held against laws and neurons.

`biospike.audit` is `biospike.auditing.run.audit`.
"""

from biospike.auditing.records import Attention

__all__ = ["Attention"]
