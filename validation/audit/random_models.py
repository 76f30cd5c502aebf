"""Models of others, as their packages ship them, with random weights: what an audit of each kind looks like."""

from __future__ import annotations

from typing import Any

from biospike.ideal.frameworks.installed import load, one_thread

MODELS = {
    "torch": "nn.TransformerEncoder of torch, 2 layers of 4 heads, width 64",
    "spikformer": "Spikformer of SpikingJelly, 2 blocks of 4 heads, width 64, 4 steps, batch norms set by the images",
    "snntorch": "two layers of snnTorch's Leaky, 25 steps",
}
TOKENS, SAMPLES = 16, 8


def random_model(name: str, seed: int) -> tuple[Any, Any]:
    """Module and input of one of `MODELS`; the state of torch's random numbers is left as it was.

    Raises
    ------
    FrameworkMissing
        If torch, or the package, is not installed.
    """
    torch = load("torch")
    makers = {"torch": _encoder, "spikformer": _spikformer, "snntorch": _leaky}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return makers[name](torch)


def _encoder(torch: Any) -> tuple[Any, Any]:
    layer = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    # All layers are copies of one, and queries as they are drawn make nearly uniform rows.
    for one in encoder.layers:
        torch.nn.init.normal_(one.self_attn.in_proj_weight, 0.0, 64**-0.5)
    return encoder.eval(), torch.randn(SAMPLES, TOKENS, 64)


def _spikformer(torch: Any) -> tuple[Any, Any]:
    spikformer = load("spikingjelly.activation_based.model.spikformer")
    functional = load("spikingjelly.activation_based.functional")
    model = spikformer.Spikformer(
        T=4,
        in_channels=1,
        img_size_h=32,
        img_size_w=32,
        patch_size=16,
        num_classes=10,
        embed_dims=64,
        num_heads=4,
        depths=2,
    )
    images = torch.rand(SAMPLES, 1, 32, 32)
    norms = [one for one in model.modules() if isinstance(one, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # a mean over all that it sees
    # Without statistics of its own a batch norm passes on currents that reach no threshold.
    with one_thread("spikingjelly"):
        model.train()(images)
    functional.reset_net(model)
    return model.eval(), images


def _leaky(torch: Any) -> tuple[Any, Any]:
    snntorch = load("snntorch")

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(64, 100), torch.nn.Linear(100, 10)
            self.hidden, self.output = snntorch.Leaky(beta=0.9), snntorch.Leaky(beta=0.9, reset_mechanism="zero")
            for node in (self.hidden, self.output):
                snntorch.SpikingNeuron.instances.remove(node)  # which keeps all nodes ever made

        def forward(self, x: Any) -> Any:
            states, spikes = (self.hidden.init_leaky(), self.output.init_leaky()), []
            for step in x:
                middle, first = self.hidden(self.first(step), states[0])
                last, second = self.output(self.second(middle), states[1])
                states = first, second
                spikes.append(last)
            return torch.stack(spikes)

    model = Model()
    with torch.no_grad():
        model.second.weight.mul_(3)
    return model.eval(), 2 * torch.rand(25, SAMPLES, 64)
