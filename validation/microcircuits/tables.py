"""Columns of the tables of microcircuits: what each is, with its unit and how it is estimated."""

from __future__ import annotations

LADDER = {
    "circuit": "rung",
    "rows_kind": "natural: rows of a trained transformer; peaked, flat: their logits times 2, and times 1/4",
    "rows, trials": "of each",
    "neurons_per_key, interneurons": "M, neurons of a key; N_I, spiking interneurons of a row, 0 where a hub inhibits",
    "rate_per_neuron": "R, Hz, which a neuron would have alone in its row",
    "tv": "mean over rows and trials of the total variation of a row's shares from softmax; tv_low, tv_high: 95 % "
    "interval over trials (Student's t)",
    "bias": "rms L2 bias of a row against softmax, root of the products of different trials, minus the root where they "
    "are negative; bias_low, bias_high: 95 % interval (jackknife over trials)",
    "limit_tv": "total variation from softmax of the mean field or closed form, mean over rows",
    "multiplicativity": "simulated: slope, per nat of logit, of the log-ratio of a key's rates with and without "
    "competitors that halve the softmax of keys 0 to 4 nats below the top; 0 is a common gate, above 0 weak keys lose "
    "more; multiplicativity_low, multiplicativity_high: 95 % interval (jackknife over trials)",
    "spread": "of the limit: largest less smallest of these log-ratios, over ln 2; 0 is a common gate",
    "spikes_for_tv_05": "spikes of the keys of a row for an expected TV of .05 by the error law; empty if the bias is "
    "larger, or no law is known",
    "energy_ratio": "those spikes with those of the interneurons, over what exact integration of the same rows needs: "
    "spikes, whatever one costs",
    "stable": "whether every row's gain is at most half of that from which its loop oscillates; if not there is no "
    "limit, bias or verdict",
    "onset_gain": "gain from which the loop of a key alone oscillates, extrapolated from simulated spectra",
    "onset_predicted": "gain from which the loops of these rows oscillate, by linear response, mean over rows",
    "verdict, reason": "on order and floor, as of compare_softmax; undecided below 4 trials",
    "rate_row": "spikes of the keys of a row, Hz, measured",
    "loop_gain": "how much of a small increase of rates the loop takes back, mean over rows; that of a key alone is G",
    "kappa": "input for a nat of logit, mV",
    "from_limit": "as bias, against the circuit's own limit; from_limit_low, from_limit_high its interval",
    "law_ratio": "total variation from the limit over the circuit's error law at the same spikes",
    "interneuron_rate, interneuron_limit": "rate of an interneuron, Hz, measured and in the mean field",
}  # fmt: skip
OPERATING = {
    "circuit, rate_per_neuron, neurons_per_key": "as of the ladder; natural rows",
    "spikes": "of the keys of a row in the window, M*R times it",
    "limit_tv": "bias, of the mean field",
    "expected_tv": "by the error law, about softmax, in that window",
    "best": "whether no other of these rates has a smaller expected_tv",
    "tv": "simulated, where it was; tv_low, tv_high its 95 % interval",
}
ONSET = {
    "gain": "G of the loop of `interneurons`, of one key alone in its row, where it is just that",
    "deviation": "standard deviation of inhibition, mV",
    "amplification": "root of the power of inhibition about the frequency of the onset, over that of the same spikes "
    "without the loop, those of Poisson processes",
    "predicted": "the same by linear response, 1/(1 - G/onset) at that frequency; empty beyond the onset",
    "rate, interneuron_rate": "of a neuron, and of an interneuron, measured, Hz",
    "onset_predicted, frequency": "gain from which the loop oscillates, and at how many Hz, by linear response",
}
