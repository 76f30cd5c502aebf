"""Products of rates by coincidence: A = (1/T) sum_t S^Q_t (S^K_t)^T from LIF queries and keys.

Input spikes of a token drive its query and key populations (see `circuits.projection`). A score neuron of every pair of
tokens counts, over the units d of a head, the spikes that query i and key j emit in the same step::

    A_ij += sum_d (q+_id - q-_id)*(k+_jd - k-_jd)

where + and - are ON and OFF neurons. Signed rates multiply as signed numbers do.

The expectation is the product of the rates only where the trains are independent. Query and key of one token that share
their input spikes (``encoders="shared"``) are not: without a leak, and with weights >= 0, each spikes in a step with
the probability of that step's input, so the diagonal of A is too large by sum_f x_f*(1 - x_f)*W^Q_fd*W^K_fd, for ever
and whatever T. An axonal ``delay`` of the keys of one step removes exactly that; what is left with signed weights or a
leak, through membranes that remember earlier input, it reduces. Separate encoders remove all of it.

Latency: an input spike of step t reaches the membranes in t + 1 and their spikes are counted in t + 2; with an axonal
delay D, t + 2 + D. The window opens after that, so that T steps count T products.

References: section 3 of arXiv:2604.15769 for A; the covariance above is ours.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.encoding import Bernoulli
from biospike.errors import InputError
from biospike.session import assemble
from biospike.spike_words import COINCIDENCES, words
from biospike.wiring import each_step_of
from circuits.projection import BlockShape, Slots, Vocabulary, checkpoint_state
from circuits.streams import Streams, weights_come_first
from circuits.token_circuit import NEVER, Timing, as_samples, read_marks, read_total

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

PAIRS = ("on", "on", 1), ("off", "off", 1), ("on", "off", -1), ("off", "on", -1)
SCORES = """
A              : 1                          # coincidences of S^Q_i and S^K_j, signed
score_from     : integer (shared, constant)
score_to       : integer (shared, constant)   # they count in steps score_from <= t < score_to
"""
CHECKPOINT = "A_{c} : 1"
WORD = """
q_on_{w}  : integer (linked)
q_off_{w} : integer (linked)
k_on_{w}  : integer (linked)
k_off_{w} : integer (linked)
"""
COUNT = """
arrived = ({signed})*int(t_in_timesteps >= score_from)*int(t_in_timesteps < score_to)
A += arrived
"""
COUNT_CHECKPOINT = "A_{c} += arrived*int(t_in_timesteps < checkpoint_{c})"


SCORE_DIMS = ("head", "query", "key")


def score_size(shape: BlockShape) -> tuple[int, ...]:
    """Score neurons (slots, heads, queries, keys)."""
    return shape.slots, shape.heads, shape.tokens, shape.tokens


def score_equations(shape: BlockShape) -> tuple[str, str]:
    """Equations of a score, and the statements by which it counts the spikes of a step."""
    marks, parts = range(shape.checkpoints), range(words(shape.width))
    equations = "\n".join([SCORES, *(WORD.format(w=w) for w in parts), *(CHECKPOINT.format(c=c) for c in marks)])
    signed = " ".join(
        f"{'+' if sign > 0 else '-'} coincidences(q_{q}_{w}, k_{k}_{w})" for w in parts for q, k, sign in PAIRS
    )
    return equations, "\n".join([COUNT.format(signed=signed[2:]), *(COUNT_CHECKPOINT.format(c=c) for c in marks)])


def read_words(scores: b2.NeuronGroup, axons: b2.NeuronGroup, vocabulary: Vocabulary, shape: BlockShape) -> None:
    """Link every score neuron (slot, head, query, key) to the words of its query and its key."""
    size = score_size(shape)
    r, h, i, j = np.indices(size, sparse=True)
    for stream, (name, token) in enumerate((("q", i), ("k", j))):
        for sign, kind in enumerate(("on", "off")):
            for w in range(words(shape.width)):
                place = np.broadcast_to(vocabulary.score[r, stream, sign, h, token, w], size)
                setattr(scores, f"{name}_{kind}_{w}", b2.linked_var(axons, "word", index=place.ravel()))


@attrs.frozen(eq=False, field_transformer=weights_come_first)
class Coincidence(Streams):
    """Scores of queries and keys by coincidence counting; the parameters are those of `circuits.streams.Streams`."""

    name: ClassVar[str] = "coincidence"
    references: ClassVar[tuple[str, ...]] = ("guo2026",)
    staged = False
    dims: ClassVar[dict[str, tuple[str, ...]]] = {"coincidences": SCORE_DIMS, "spikes_encoder": (), "spikes_qkv": ()}

    def shared_input_bias(self, x: ArrayLike) -> NDArray[np.float64]:
        """Closed form of what shared input spikes add to the diagonal of `products`, (samples, heads, tokens).

        Bernoulli input, no delay, no leak, no biases, weights >= 0 that a step cannot sum to more than one threshold.

        Raises
        ------
        InputError
            If one of these does not hold.
        """
        scaled = self.scaled_weights()
        simple = isinstance(self.encoder, Bernoulli) and self.tau_m is None and self.delay == 0 * b2.second
        if not simple or self.biases.any() or scaled.min() < 0 or scaled.sum(axis=1).max() > 1 + 1e-9:
            raise InputError(
                f"{self.name}: the closed form needs Bernoulli input, no delay, no leak, no biases, and weights of "
                f"at least 0 that sum to at most 1 threshold; got sums up to {scaled.sum(axis=1).max():.3g}"
            )
        samples = as_samples(x, self.features)
        both = (self.W_q * self.W_k).reshape(self.features, self.heads, self.width).sum(axis=-1)
        return np.einsum("sif,fh->shi", samples * (1 - samples), both)

    def build(self, shape: BlockShape) -> b2.Network:
        """Network ``encoder`` -> ``dendrites`` -> ``neurons`` -> ``axons`` -> ``scores``; runs nothing."""
        vocabulary = Vocabulary.of(shape)
        front, axons = self.wire_streams(shape, vocabulary)
        equations, count = score_equations(shape)
        checkpoints = "\n".join(f"checkpoint_{c} : integer (shared, constant)" for c in range(shape.checkpoints))
        scores = b2.NeuronGroup(
            shape.slots * shape.heads * shape.tokens**2,
            f"{equations}\n{checkpoints}",
            namespace=COINCIDENCES,
            name="scores",
        )
        read_words(scores, axons, vocabulary, shape)
        each_step_of(scores, count, when="before_groups", name="scores_each_step")
        return assemble(*front, axons, scores)

    def timing(self, window: int, dt: Quantity, origin: int = 0) -> Timing:
        """The window opens when the first product can arrive."""
        onset = origin + self.latency(dt)
        return Timing(onset, NEVER, NEVER, onset, onset + window)

    def state(
        self, shape: BlockShape, slots: Slots, marks: NDArray[np.int64], window: int, dt: Quantity
    ) -> dict[str, Any]:
        """Initial state of the network; counts are read `marks` steps after the onset."""
        onset = self.timing(window, dt).onset
        return (
            self.encoder_state(shape, slots)
            | self.stream_state(shape, slots)
            | {"scores.score_from": onset, "scores.score_to": NEVER}
            | checkpoint_state(("encoder", "neurons", "scores"), onset + marks)
        )

    def wanted(self, checkpoints: int) -> list[str]:
        """Variables that `collect` reads."""
        return [f"{name}_{c}" for c in range(checkpoints) for name in ("encoder.count", "neurons.count", "scores.A")]

    def collect(self, shape: BlockShape, result: dict[str, NDArray[Any]], checkpoints: int) -> dict[str, NDArray[Any]]:
        """Signed coincidences, and spikes of the populations since the start of the run."""
        scores = read_marks(result, "scores.A", checkpoints, score_size(shape))
        return {
            "coincidences": scores[..., 1:],
            "spikes_encoder": read_total(result, "encoder.count", checkpoints, shape.slots)[:, 1:],
            "spikes_qkv": read_total(result, "neurons.count", checkpoints, shape.slots)[:, 1:],
        }
