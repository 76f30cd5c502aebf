"""SpikeGPT's attention that ages, by keys that never change and an inhibition that jumps: shares, block, rescaling.

A channel forgets by its decay w a token. Here the keys hold their levels and the row's inhibition jumps by w, so that
the circuit has to follow only what is new. Shares are held against the softmax of ageing logits, at decays from .02 to
20 nats a token and in a block of 768 channels; and the spikes of 18 blocks against those of the released code for
inference, which divides weights and tokens by two every six blocks.

References
----------
R.-J. Zhu, Q. Zhao, G. Li, J. K. Eshraghian (2023), SpikeGPT, arXiv:2302.13939.
"""

from validation.ageing.study import STUDY, Config, main
from validation.study import command_line

__all__ = ["STUDY", "Config", "main"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
