#!/usr/bin/env bash
# Arbor since 0.12 lists no spikes of cells that nothing listens to, though all spikes are asked for.
#
# Package   arbor 0.12.2 and 0.11.0, numpy 2.3.5
# Expected  simulation.record(spike_recording.all) keeps the spikes of every cell, spike_recording.local those of the
#           cells of this process: on one process the lists are equal, and which synapses exist has no part in it.
# Seen      From 0.12.0 on, `all` keeps the spikes that are exchanged, and spikes are exchanged for connections: a cell
#           without an outgoing one fires, is reset, and is not in the list. Of a chain 0 -> 1 -> 2 the last cell is
#           missing; of cells without synapses all are. `local` lists every spike. In 0.11.0 both do.
#
#               arbor 0.11.0: three cells that fire at 1, 2, 3 ms; connections, cells in the list of all, of local
#               none                all [0, 1, 2]   local [0, 1, 2]
#               0->1                all [0, 1, 2]   local [0, 1, 2]
#               0->1->2             all [0, 1, 2]   local [0, 1, 2]
#               0->1->2->0          all [0, 1, 2]   local [0, 1, 2]
#               arbor 0.12.2: three cells that fire at 1, 2, 3 ms; connections, cells in the list of all, of local
#               none                all []          local [0, 1, 2]
#               0->1                all [0]         local [0, 1, 2]
#               0->1->2             all [0, 1]      local [0, 1, 2]
#               0->1->2->0          all [0, 1, 2]   local [0, 1, 2]
#
# Matters   Output layers have no targets: read-outs, f-I curves of single cells and rates of a feed-forward network
#           come out as silence. On one process record spike_recording.local; on several, gather the local lists.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cat > "$folder/seen.py" <<'PY'
import sys

import arbor
from arbor import units as U


class Cells(arbor.recipe):
    """Three LIF cells, each lifted above its threshold once by an event of its own; the connections have no weight."""

    def __init__(self, edges):
        super().__init__()
        self.edges = edges

    def num_cells(self):
        return 3

    def cell_kind(self, gid):
        return arbor.cell_kind.lif

    def cell_description(self, gid):
        return arbor.lif_cell("source", "target")

    def event_generators(self, gid):
        return [arbor.event_generator("target", 500.0, arbor.explicit_schedule([(1 + gid) * U.ms]))]

    def connections_on(self, gid):
        return [arbor.connection((a, "source"), "target", 0.0, 1 * U.ms) for a, b in self.edges if b == gid]


def listed(edges, which):
    """Return the cells whose spike is in the list."""
    simulation = arbor.simulation(Cells(edges))
    simulation.record(which)
    simulation.run(20 * U.ms, 0.025 * U.ms)
    return sorted(int(source[0]) for source, _ in simulation.spikes())


newer = sys.argv[1] == "0.12.2"
print(f"arbor {arbor.__version__}: three cells that fire at 1, 2, 3 ms; connections, cells in the list of all, of local")
as_recorded = True
chain = [(0, 1), (1, 2), (2, 0)]
for name, edges in (("none", []), ("0->1", chain[:1]), ("0->1->2", chain[:2]), ("0->1->2->0", chain)):
    everything = listed(edges, arbor.spike_recording.all)
    here = listed(edges, arbor.spike_recording.local)
    print(f"{name:18}  all {str(everything):10}  local {here}")
    as_recorded &= everything == (sorted({a for a, _ in edges}) if newer else [0, 1, 2]) and here == [0, 1, 2]
sys.exit(0 if as_recorded else "changed: which cells are in the list of all spikes is otherwise than recorded")
PY
for version in 0.11.0 0.12.2; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 "arbor==$version"
    "$folder/$version/bin/python" -W ignore "$folder/seen.py" "$version"
done
