"""How far a score membrane of the streaming mode strays from its mean: the variance of filtered coincidences.

The coincidences of a step, c_t = sum_d q_d(t)*k_d(t) with signed trains, charge a membrane that forgets with
keep = exp(-dt/tau_s). Noise that is white to the membrane, of the long-run variance S, the sum over lags of
cov(c_0, c_lag), leaves it the variance nats^2*S*(1 - keep)/(1 + keep). For independent trains

    S = k'S_q k + q'S_k q + sum_dd' sum_lag C_q*C_k,     (S_q)_dd' = sum_f x_f*(1 - x_f)*W^Q_fd*W^Q_fd'

q and k the mean rates: over long times the count of a leakless neuron varies as its Bernoulli input does. Of the last
term, the noise of both trains at once, only the variances at lag 0 are taken, r+ + r- - r^2, which is all of it where
each neuron relays the spikes of one feature, as in the toy of the paper.

Assumptions: Bernoulli input, no leak, encoders that are separate, and tau_s of many steps. Else nothing is known here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biospike.encoding import Bernoulli
from circuits.streams import Streams

Array = NDArray[np.float64]


def score_variance(circuit: Streams, y: Array, keep: float, nats: Array) -> Array:
    """Stationary variance of the score membranes, nats^2, (samples, heads, queries, keys).

    Parameters
    ----------
    circuit
        Its scales are set.
    y : ndarray (samples, tokens, features)
        Values in [0, 1].
    keep
        exp(-dt/tau_s).
    nats : ndarray (heads,)
        Logit that one coincidence a step stands for.

    Returns
    -------
    ndarray
        0 where the closed form is not known: the term is then left out.
    """
    rates = circuit.rates_of(y)
    mean, power = rates[..., 0] - rates[..., 1], rates.sum(axis=-1)
    samples, tokens, _, heads, width = mean.shape
    if not (isinstance(circuit.encoder, Bernoulli) and circuit.tau_m is None and circuit.encoders == "separate"):
        return np.zeros((samples, heads, tokens, tokens))
    weights = circuit.scaled_weights().reshape(-1, circuit.features, heads, width)
    coin = y * (1 - y)
    q, k = mean[:, :, 0], mean[:, :, 1]
    # (k' W_q)_f is the weight that a feature of the query has in the score, and likewise for the key.
    of_query = np.einsum("sif,sjfh->shij", coin, np.einsum("sjhe,fhe->sjfh", k, weights[0]) ** 2)
    of_key = np.einsum("sjf,sifh->shij", coin, np.einsum("sihe,fhe->sifh", q, weights[1]) ** 2)
    own = power - mean**2
    both = np.einsum("sihe,sjhe->shij", own[:, :, 0], own[:, :, 1])
    return (nats**2)[:, None, None] * (of_query + of_key + both) * (1 - keep) / (1 + keep)
