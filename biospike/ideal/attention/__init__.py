"""The attention of published spiking transformers, as formulas over arrays of spikes.

Arrays are (T, batch, tokens, channels); a head is a contiguous range of channels. Every block is a frozen object of
weights, into which batch norm is folded, and returns all its intermediate spikes, so that a circuit can be compared
with it stage by stage. Sums that are not exact are added in the order in which the spikes of a circuit arrive.

======================= ==================================== ==================================================
block                   attention                            published in
======================= ==================================== ==================================================
`SpikformerSSA`         LIF_0.5(0.125 * Q K^T V)             Spikformer, ICLR 2023
`QKTokenAttention`      LIF_0.5(sum_d Q) * K                 QKFormer, NeurIPS 2024
`QKChannelAttention`    LIF_0.5(sum_tokens Q) * K            QKFormer, NeurIPS 2024
`QKFormerSSA`           as Spikformer's                      QKFormer, NeurIPS 2024
`SpikeDrivenAttention`  Q * LIF_0.5(sum_tokens K * V)        Spike-driven Transformer, NeurIPS 2023
`DualSpikeAttention`    LIF(c2 Y2 LIF(c1 Y1^T X))            SpikingResformer, CVPR 2024
`SpikingBertAttention`  IF(softmax(Q K^T / sqrt(d)) V)       SpikingBERT, AAAI 2024
`SpikeSoftmax`          one spike a key, share B^-k          SpikedAttention, NeurIPS 2024
======================= ==================================== ==================================================
"""

from biospike.ideal.attention.layers import (
    IF,
    LIF,
    LIF_HALF,
    Affine,
    Fire,
    fire,
    fold_batch_norm,
    merge_heads,
    ordered_matmul,
    project,
    split_heads,
)
from biospike.ideal.attention.qkformer import QKChannelAttention, QKFormerSSA, QKTokenAttention
from biospike.ideal.attention.spike_driven import SpikeDrivenAttention
from biospike.ideal.attention.spiked_attention import SpikeSoftmax
from biospike.ideal.attention.spikformer import SpikformerSSA, self_attention_current
from biospike.ideal.attention.spikingbert import SpikingBertAttention
from biospike.ideal.attention.spikingresformer import DualSpikeAttention, rate_scale

__all__ = [
    "IF",
    "LIF",
    "LIF_HALF",
    "Affine",
    "DualSpikeAttention",
    "Fire",
    "QKChannelAttention",
    "QKFormerSSA",
    "QKTokenAttention",
    "SpikeDrivenAttention",
    "SpikeSoftmax",
    "SpikformerSSA",
    "SpikingBertAttention",
    "fire",
    "fold_batch_norm",
    "merge_heads",
    "ordered_matmul",
    "project",
    "rate_scale",
    "self_attention_current",
    "split_heads",
]
