"""Modules of torch: what is taken out of them is what they compute, and they are left as they were."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import biospike
from biospike import InputError
from biospike.auditing.given import checked_module
from biospike.auditing.layers import Watch, attention_layers
from biospike.auditing.model import listen
from circuits import SpikingAttention
from circuits.softmax import Escape

torch = pytest.importorskip("torch")
nn: Any = torch.nn

E = [Escape()]


def audit(module, inputs, **options):
    return biospike.audit(module, inputs, **({"circuits": E, "check_rows": 0, "op_counter": False} | options))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


def encoder(layers=2, **options):
    layer = nn.TransformerEncoderLayer(8, 2, 16, **({"batch_first": True} | options))
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=options.get("batch_first", True)).eval()


def shares_of(module, *args, **kwargs):
    """Shares by torch itself, (batch, heads, queries, keys)."""
    return module(*args, need_weights=True, average_attn_weights=False, **kwargs)[1].detach().double().numpy()


def extracted(module, *args, **kwargs):
    """The one call of a lone layer, by the hooks."""
    watch = Watch(torch, "one", module)
    handles = list(watch.hooks())
    with torch.no_grad():
        module(*args, **kwargs)
    for handle in handles:
        handle.remove()
    [(call, said, _)] = watch.found(None)
    return call, said


FLOAT = torch.zeros(5, 5).masked_fill(torch.ones(5, 5).triu(1).bool(), -np.inf)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"attn_mask": torch.ones(5, 5).triu(1).bool()},
        {"attn_mask": FLOAT, "is_causal": True},
        {"attn_mask": torch.linspace(-2, 2, 25).reshape(5, 5)},
        {"attn_mask": torch.linspace(-2, 2, 150).reshape(6, 5, 5)},
        {"key_padding_mask": torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 1, 1, 1]]).bool()},
    ],
    ids=["plain", "bool", "causal", "float", "heads", "padded"],
)
@pytest.mark.parametrize("batch_first", [True, False])
def test_multihead_attention_and_its_masks(given, batch_first):
    module = nn.MultiheadAttention(8, 2, batch_first=batch_first).eval()
    nn.init.normal_(module.in_proj_bias)
    nn.init.normal_(module.out_proj.bias)
    x = torch.randn(3, 5, 8) if batch_first else torch.randn(5, 3, 8)
    call, said = extracted(module, x, x, x, need_weights=False, **given)
    assert said == ""
    expected = shares_of(module, x, x, x, **given)
    for sample in range(3):
        np.testing.assert_allclose(call.shares(sample, np.arange(5)), expected[sample], atol=1e-6)
    if "key_padding_mask" in given:
        assert np.array_equal(call.real, ~given["key_padding_mask"].numpy())


def test_other_queries_than_keys_other_widths_and_a_single_sequence():
    module = nn.MultiheadAttention(8, 2, kdim=6, vdim=7, bias=False, batch_first=True).eval()
    q, k, v = torch.randn(2, 3, 8), torch.randn(2, 5, 6), torch.randn(2, 5, 7)
    call, _ = extracted(module, q, k, value=v)
    np.testing.assert_allclose(call.shares(1, np.arange(3)), shares_of(module, q, k, v)[1], atol=1e-6)
    lone, _ = extracted(module, q[0], k[0], v[0])
    np.testing.assert_allclose(lone.shares(0, np.arange(3)), shares_of(module, q[:1], k[:1], v[:1])[0], atol=1e-6)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_hooks_are_called_and_outputs_are_those_with_gradients():
    """In evaluation mode without gradients torch takes a path past all of this."""
    module, x = encoder(), torch.randn(3, 5, 8)
    pad = torch.zeros(3, 5, dtype=torch.bool)
    pad[1, 3:] = True
    with torch.no_grad():
        fast = module(x, src_key_padding_mask=pad)
    for probes in (0, 2):
        found = listen(torch, module, (x,), {"src_key_padding_mask": pad}, max_rows=99, probes=probes, seed=0)
        assert [rows.layer for rows in found.rows] == ["layers.0.self_attn", "layers.1.self_attn"]
        assert [rows.number for rows in found.rows] == [13, 13]
        assert found.tokens == 13
        assert (found.rows[0].S is None) == (probes == 0)
    slow = module(x, src_key_padding_mask=pad)
    torch.testing.assert_close(fast[~pad], slow[~pad].detach(), atol=1e-5, rtol=0)


def test_padding_by_name_by_place_and_cut_off():
    """One sample of five tokens, two of them padding, is one of three: rows, spikes and what the output feels."""
    model, x = encoder(), torch.randn(1, 5, 8)
    pad = torch.tensor([[False, False, False, True, True]])
    short = audit(model, x[:, :3], probes=100).table
    named = audit(model, {"src": x, "src_key_padding_mask": pad}, probes=100).table
    placed = audit(model, (x, None, pad), probes=100).table
    assert (named["rows"] == 3).all()
    assert placed.equals(named)
    for column in ("spikes_tv_05", "low", "high"):
        np.testing.assert_allclose(named[column], short[column], rtol=1e-5)
    # Directions are drawn anew for another number of tokens.
    np.testing.assert_allclose(named["S"], short["S"], rtol=0.25)


def test_gradients_predict_the_error_of_drawn_shares():
    """1 - cos of outputs where every row's shares are drawn with N spikes."""

    class Drawn(nn.Module):
        """Two heads, whose shares are replaced by those of multinomial counts if `spikes` is set."""

        def __init__(self):
            super().__init__()
            self.num_heads, self.scaling, self.spikes = 2, 2.0, None
            self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(8, 8).double() for _ in range(4))

        def forward(self, x):
            q, k, v = (f(x).unflatten(-1, (2, 4)).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
            p = (q @ k.mT * self.scaling).softmax(-1)
            if self.spikes:
                counts = np.random.default_rng(self.spikes).multinomial(self.spikes, p.detach().numpy())
                p = torch.from_numpy(counts / self.spikes)
            return self.out_proj((p @ v).transpose(1, 2).flatten(-2))

    layer = Drawn()
    model = nn.Sequential(nn.LayerNorm(8).double(), layer, nn.Linear(8, 6).double(), nn.Tanh())
    x = torch.randn(400, 5, 8, dtype=torch.float64)
    found = listen(torch, model, (x,), {}, max_rows=10**6, probes=30, seed=1)
    N = 2000
    S = found.rows[0].S
    assert S is not None
    predicted = S.sum() / (2 * N) / found.tokens
    with torch.no_grad():
        exact = model(x)
        layer.spikes = N
        drawn = model(x)
        layer.spikes = None
    cos = nn.functional.cosine_similarity(exact, drawn, dim=-1)
    measured = float((1 - cos).mean())
    # 2000 tokens of about chi-squared errors of few dimensions and 30 probes: 3 and 4 % (1 s.e.), and first order.
    assert measured == pytest.approx(predicted, rel=0.15)
    assert predicted < 0.01
    table = audit(model, x[:20], probes=4).table
    assert (table["predicted_error"] > 0).all()


def snapshot(module):
    return (
        {name: (value.clone(), value.requires_grad, value.grad) for name, value in module.named_parameters()},
        {name: value.clone() for name, value in module.named_buffers()},
        [one.training for one in module.modules()],
        [(len(one._forward_hooks), len(one._forward_pre_hooks)) for one in module.modules()],
    )


def reseed():
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one is other or one == other


def test_the_module_and_the_process_are_left_as_they_were():
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(5), encoder(1)).train()
    model[0].eval()
    model[0].weight.requires_grad_(False)
    model(torch.randn(2, 5, 8)).sum().backward()
    handle = model[2].register_forward_hook(lambda *_: None)
    x = torch.randn(2, 5, 8)
    reseed()
    before, gradient = snapshot(model), model[2].layers[0].linear1.weight.grad.clone()
    fast = torch.backends.mha.get_fastpath_enabled()
    found = audit(model, x)
    drawn = torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
    reseed()
    assert drawn == (torch.rand(1), np.random.rand(), random.random())  # noqa: NPY002
    assert same(before, snapshot(model))
    assert torch.equal(gradient, model[2].layers[0].linear1.weight.grad)
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert not x.requires_grad
    assert "in training mode: audited in evaluation mode" in found.notes
    handle.remove()
    # Also where it fails.
    with pytest.raises(InputError, match="does not take this input"):
        audit(model, torch.randn(2, 5, 3))
    assert same(before[:3], snapshot(model)[:3])


def test_frozen_parameters_and_inference_mode_do_not_keep_gradients_away():
    model, x = encoder(), torch.randn(2, 5, 8)
    plain = audit(model, x).table
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    frozen = audit(model, x).table
    assert (plain["S"] > 0).all()
    np.testing.assert_allclose(frozen["S"], plain["S"], rtol=1e-5)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            inside = audit(model, x.clone()).table
        np.testing.assert_allclose(inside["S"], plain["S"], rtol=1e-5)
    with torch.inference_mode():
        made = encoder()
    found = audit(made, x)
    assert found.notes == ("parameters were made in inference mode, where there are no gradients: no S",)
    assert found.table["S"].isna().all()

    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = encoder()

        @torch.no_grad()
        def forward(self, x):
            return self.inner(x)

    found = audit(Cut().eval(), x)
    assert found.notes == ("no gradient reaches the output: no S",)
    assert found.table["S"].isna().all()
    assert found.table["spikes_tv_05"].notna().all()


class Wrapped(nn.Module):
    """Attention inside a model of another form."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.attention, self.unused = (nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2))
        self.eval()

    def forward(self, x, other=None):
        y = self.attention(x, x, x, need_weights=False)[0]
        if self.form == "twice":
            return self.attention(y, x, x)[0]
        return {"tuple": (y, None), "dict": {"logits": y}, "list": [None, y]}[self.form]


@pytest.mark.parametrize("form", ["tuple", "dict", "list", "twice"])
def test_outputs_and_inputs_of_other_forms_and_layers_called_twice_or_never(form):
    x, model = torch.randn(2, 5, 8), Wrapped(form)
    for inputs in (x, (x,), {"x": x}, x.numpy(), {"x": x.numpy()}):
        table = audit(model, inputs).table
        named = ["attention#1", "attention#2"] if form == "twice" else ["attention"]
        assert list(table["layer"]) == [*np.repeat(named, 2), "unused"]
        assert table["note"].iloc[-1] == "never called on this input"
        assert (table["S"].iloc[:-1] > 0).all()


def test_what_is_done_in_place_changes_nothing():
    class Residual(nn.Module):
        def __init__(self, inside):
            super().__init__()
            self.attention, self.inside = nn.MultiheadAttention(8, 2, batch_first=True), inside

        def forward(self, x):
            x = x * 1
            y = self.attention(x, x, x)[0]
            if self.inside:
                x += y.mul_(2)
                return x
            return x + y * 2

    outside, inside, x = Residual(False).eval(), Residual(True).eval(), torch.randn(2, 5, 8)
    inside.load_state_dict(outside.state_dict())
    for frozen in (False, True):
        inside.requires_grad_(not frozen)
        found, expected = audit(inside, x), audit(outside, x)
        assert found.notes == ()
        assert (found.table["S"] > 0).all()
        assert found.table.equals(expected.table)
    assert not inside.attention.in_proj_weight.requires_grad


def test_an_output_of_one_number_has_no_direction():
    model = nn.Sequential(encoder(1), nn.Linear(8, 1)).eval()
    found = audit(model, torch.randn(2, 5, 8))
    assert found.notes == ("the output is one number a sample, which has no direction: no S",)
    assert found.table["S"].isna().all()


def test_parts_of_the_batch_give_what_all_at_once_gives():
    model, x = encoder(), torch.randn(5, 4, 8)
    whole, parts = audit(model, x, probes=0), audit(model, x, probes=0, batch_size=2)
    assert list(parts.table["layer"]) == list(whole.table["layer"])
    for column in ("head", "rows", "spikes_tv_05", "low", "high", "d_eff"):
        np.testing.assert_allclose(parts.table[column].to_numpy(float), whole.table[column].to_numpy(float), rtol=1e-5)
    few = audit(model, x, max_rows=3).table
    assert (few["rows"] == 3).all()
    assert few["note"].str.contains("3 of 20 rows").all()
    with pytest.raises(InputError, match="batch_size must be at least 1"):
        audit(model, x, batch_size=0)


class Linear(nn.Module):
    """Attention without softmax."""

    def __init__(self):
        super().__init__()
        self.num_heads = 2
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        return self.proj(((q @ k.mT) * 0.5 @ v).transpose(1, 2).flatten(-2))


class Rotary(Linear):
    """Attention whose queries and keys are turned by their places."""

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        turn = torch.arange(x.shape[1])[:, None].cos()
        return self.proj(((q * turn) @ (k * turn).mT / 2).softmax(-1).matmul(v).transpose(1, 2).flatten(-2))


class Grouped(nn.Module):
    """Fewer heads of keys than of queries."""

    def __init__(self):
        super().__init__()
        self.num_heads = 2
        self.q_proj, self.k_proj, self.v_proj = nn.Linear(8, 8), nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x):
        return self.q_proj(x) + self.k_proj(x).repeat(1, 1, 2) + self.v_proj(x).repeat(1, 1, 2)


def test_attention_without_softmax_is_a_row_and_other_attention_is_refused():
    x = torch.randn(2, 5, 8)
    table = audit(Linear(), x).table
    assert list(table["note"]) == ["attention without softmax: no rows, no S"]
    with pytest.raises(
        InputError, match=r"Rotary \(Rotary\): its own output differs by .* rotary or relative positions"
    ):
        audit(Rotary(), x)
    with pytest.raises(InputError, match="queries of 8 units and keys of 4 in 2 heads: grouped queries"):
        audit(Grouped(), x)
    with pytest.raises(InputError, match="bias_k or add_zero_attn"):
        audit(nn.MultiheadAttention(8, 2, add_zero_attn=True), (x, x, x))


def test_rows_without_a_key_and_of_one_key():
    module = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x, mask = torch.randn(2, 5, 8), torch.zeros(5, 5, dtype=torch.bool)
    mask[1] = True
    mask[2, 1:] = True
    table = audit(module, {"query": x, "key": x, "value": x, "attn_mask": mask}).table
    assert (table["rows"] == 8).all()
    assert table["note"].str.contains("2 padded or wholly masked queries left out").all()
    assert (table["low"] == 0).all()
    everything = torch.ones(5, 5, dtype=torch.bool)
    table = audit(module, {"query": x, "key": x, "value": x, "attn_mask": everything}).table
    assert list(table["note"]) == ["10 padded or wholly masked queries left out; no row is left"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m: m.half(), "is float16, whose rounding hides an error of 1e-5: convert module and inputs by .float"),
        (lambda m: m.bfloat16(), "is bfloat16"),
        (lambda m: m.layers[0].linear1.weight.data.fill_(np.nan), "linear1.weight of the module is not finite"),
        (lambda m: setattr(m, "layers", nn.ModuleList()), "has neither attention nor spiking nodes"),
    ],
)
def test_modules_that_cannot_be_audited(spoil, said):
    model = encoder()
    spoil(model)
    with pytest.raises(InputError, match=said):
        audit(model, torch.randn(2, 5, 8))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (torch.randn(2, 5, 8).half(), "input 0 is float16"),
        (torch.full((2, 5, 8), np.nan), "input 0 is not finite: 80 values"),
        (torch.zeros(0, 5, 8), r"input 0 is empty, of shape \(0, 5, 8\)"),
        (torch.ones(2, 5, 8, dtype=torch.long), "TransformerEncoder does not take this input: RuntimeError"),
        ((), "got nothing"),
        ({"src": np.array(["a"])}, "input 'src' is an array of <U1"),
    ],
)
def test_inputs_that_cannot_be_audited(inputs, said):
    with pytest.raises(InputError, match=said):
        audit(encoder(), inputs)


def test_scripted_compiled_and_quantised_modules():
    model, x = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.randn(2, 5, 8)

    class Shell(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.attention = inner, model

        def forward(self, x):
            return self.attention(self.inner(x), x, x)[0]

    class Compiled(nn.Module):
        """As torch.compile wraps a module."""

        def __init__(self, inner):
            super().__init__()
            self._orig_mod = inner

        def forward(self, *args):
            return self._orig_mod(*args)

    with pytest.warns(DeprecationWarning, match="torch.jit"):
        scripted = torch.jit.script(nn.Linear(8, 8))
    with pytest.raises(InputError, match="inner is scripted: no hook sees into it"):
        audit(Shell(scripted), x)
    assert "compiled: audited as it was before" in audit(Compiled(Shell(nn.Identity())), x).notes
    with pytest.raises(InputError, match="inner is compiled: no hook sees into it"):
        audit(Shell(Compiled(nn.Identity())), x)

    class Quantised(nn.Module):
        def weight(self):
            return torch.zeros(1)

        def forward(self, x):
            return x

    with pytest.raises(InputError, match=r"inner is quantised \(Quantised\)"):
        audit(Shell(Quantised()), x)
    with pytest.raises(InputError, match=r"module must be an nn\.Module of torch"):
        audit("a file.pt", x)


def test_hooks_that_never_fire_and_memory_that_runs_out():
    class Past(nn.Module):
        def __init__(self, error=None):
            super().__init__()
            self.attention, self.error = nn.MultiheadAttention(8, 2), error

        def forward(self, x):
            if self.error:
                raise self.error
            return x

    with pytest.raises(InputError, match="no hook fired: attention were not called"):
        audit(Past(), torch.randn(2, 5, 8))
    error = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1e15 bytes")
    with pytest.raises(InputError, match="runs out of memory on this input: shorter sequences"):
        audit(Past(error), torch.randn(2, 5, 8))


def test_names_of_layers_and_checked_modules():
    model = nn.ModuleDict({"a": encoder(1), "b": Linear()})
    assert list(attention_layers(torch, model)) == ["a.layers.0.self_attn", "b"]
    assert checked_module(torch, model.eval())[1] == []


def test_a_block_of_a_module_of_torch_computes_its_attention():
    module = nn.MultiheadAttention(6, 2, batch_first=True).double()
    nn.init.normal_(module.in_proj_bias)
    tokens = torch.rand(3, 5, 6, dtype=torch.float64)
    block = SpikingAttention.from_torch(module, tokens)
    expected = shares_of(module.eval(), tokens, tokens, tokens)
    np.testing.assert_allclose(block.ordinary(tokens.numpy())["attention"], expected, rtol=1e-12)
    outputs = block.ordinary(tokens.numpy())["output"].transpose("sample", "query", "head", "unit").values
    joined = torch.from_numpy(outputs.reshape(3, 5, 6).copy())
    torch.testing.assert_close(module.out_proj(joined), module(tokens, tokens, tokens)[0], rtol=1e-12, atol=1e-14)
    # The limit of its spikes is that attention too, on the tokens to which its scales are fitted.
    np.testing.assert_allclose(block.limit(tokens.numpy())["attention"], expected, rtol=1e-9)
    with pytest.raises(InputError, match=r"tokens must lie in \[0, 1\]"):
        SpikingAttention.from_torch(module, 2 * tokens)
    with pytest.raises(InputError, match=r"expected an nn\.MultiheadAttention of torch, got Linear"):
        SpikingAttention.from_torch(nn.Linear(2, 2), tokens)
    with pytest.raises(InputError, match="the weights must have one shape"):
        SpikingAttention.from_torch(nn.MultiheadAttention(6, 2, kdim=4), tokens)


@pytest.mark.parametrize("batch_first", [True, False])
def test_energy_of_attention_is_that_of_shapes_whatever_torch_fuses(batch_first):
    """Multiply-accumulates by hand: projections, scores, outputs, and the two layers after."""
    model, x = encoder(1, batch_first=batch_first), torch.randn(3, 5, 8)
    found = audit(model, x if batch_first else x.swapaxes(0, 1), op_counter=True)
    lines = found.energy.set_index("line")
    assert lines.loc["numbers at synapses", "mac"] == 3 * 5 * (4 * 8 * 8 + 2 * 8 * 16)
    assert lines.loc["products of attention", "mac"] == 2 * 3 * 5 * 5 * 8
    assert lines.loc["spikes at synapses", "ac"] == 0
    assert (found.table["rows"] == 15).all()
    if "not asked" not in lines.index:  # of its MACs those of scores and outputs are missing, which torch fuses
        assert lines.loc["not counted: attention that torch fuses", "mac"] == 2 * 3 * 5 * 5 * 8
        theirs = found.energy[found.energy["by"] == "op_counter"].set_index("line").loc["total", "mac"]
        ours = found.energy[found.energy["by"] == "events"].set_index("line").loc["total", "mac"]
        assert theirs + 2 * 3 * 5 * 5 * 8 == ours


def test_layers_of_tokens_first_have_the_gradients_of_those_of_samples_first():
    first, x = encoder(2), torch.randn(3, 5, 8)
    second = encoder(2, batch_first=False)
    second.load_state_dict(first.state_dict())
    one = listen(torch, first, (x,), {}, max_rows=99, probes=200, seed=0)
    other = listen(torch, second, (x.swapaxes(0, 1).contiguous(),), {}, max_rows=99, probes=200, seed=1)
    for a, b in zip(one.rows, other.rows, strict=True):
        np.testing.assert_allclose(a.logits, b.logits, atol=1e-5)
        assert a.S is not None
        assert b.S is not None
        # Means over 200 directions, each of which has an error of about its own size, over 15 rows.
        np.testing.assert_allclose(a.S.mean(), b.S.mean(), rtol=0.1)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_modules_that_torch_itself_compiles_or_quantises():
    model, x = encoder(1), torch.randn(2, 5, 8)
    found = audit(torch.compile(model), x)
    assert found.notes == ("compiled: audited as it was before",)
    assert found.table.equals(audit(model, x).table)
    with pytest.warns(DeprecationWarning, match="quantization"):
        small = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(InputError, match="is quantised"):
        audit(small, x)
