// Weighted spikes of the blocks in circuits/transformers, and the discrete neurons of biospike.ideal.lif that they drive.
//
//   sum = weights of the features that spiked, one after another by their index;   current = sum + bias
//   HARD   H = v + (current - (v - v_reset))*gain,   spike at H >= v_th,   v = v_reset      (gain = 1/tau, exact)
//   SOFT   H = v + current,                          spike at H >= v_th,   v = H - v_th
//   NONE   currents are the result
//
// That is the order in which spikes reach a neuron of the network. No layer feeds back on one before it, so a block is
// its layers one after another, each for all steps. Columns are taken 32 at a time, whose weights for 64 features fit
// the cache next to the sums of some rows.

struct LayerJob {
    int64_t items, steps, rows, features, units, neuron;
    double gain, v_th, v_reset;
    const uint8_t* x;       // items x steps x rows x features: 0 or 1
    const double* weights;  // items x features x units
    const double* bias;     // units
    uint8_t* spikes;        // items x steps x rows x units, unless currents are the result
    double* currents;       // the same
};

namespace {

enum Neuron { NONE, HARD, SOFT };
enum { PARTS = COLUMNS / 8, FEATURES = 64, SUMS = 64 };
typedef uint8_t Bytes8 __attribute__((vector_size(8)));

// Bits of up to 64 bytes that are 0 or 1: a product gathers eight of them.
inline uint64_t word_of(const uint8_t* from, int64_t count) {
    uint8_t bytes[64] = {};
    std::memcpy(bytes, from, count);
    uint64_t found = 0;
    for (int k = 0; k < 8; k++) {
        uint64_t eight;
        std::memcpy(&eight, bytes + 8 * k, 8);
        found |= (eight * 0x0102040810204080ULL >> 56) << 8 * k;
    }
    return found;
}

template <int NEURON>
struct Layer {
    const LayerJob& job;
    const int64_t words, lines, group;  // of a row; of an item; rows whose sums are kept together
    Array<uint64_t> bits;
    Array<double> weights, bias, sums;
    bool finite = true;

    explicit Layer(const LayerJob& j)
        : job(j), words(words_of(j.features)), lines(j.steps * j.rows),
          group(std::max<int64_t>(1, SUMS / j.steps)), bits(lines * words), weights(words * FEATURES * COLUMNS),
          bias(COLUMNS), sums(group * j.steps * COLUMNS) {}

    void run(int64_t item) {
        for (int64_t line = 0; line < lines; line++)
            for (int64_t word = 0; word < words; word++)
                bits[line * words + word] = word_of(job.x + (item * lines + line) * job.features + word * FEATURES,
                                                    std::min<int64_t>(FEATURES, job.features - word * FEATURES));
        for (int64_t first = 0; first < job.units; first += COLUMNS) {
            const int64_t count = std::min<int64_t>(COLUMNS, job.units - first);
            const double* from = job.weights + item * job.features * job.units + first;
            for (int64_t f = 0; f < job.features; f++)
                std::copy_n(from + f * job.units, count, &weights[f * COLUMNS]);
            std::copy_n(job.bias + first, count, bias.data);
            for (int64_t row = 0; row < job.rows; row += group) {
                const int64_t some = std::min(group, job.rows - row);
                add(row, some);
                for (int64_t k = 0; k < some; k++) answer(item, row + k, k * job.steps, first, count);
            }
        }
    }

    // Sums of the steps of some rows.
    __attribute__((noinline)) void add(int64_t row, int64_t some) {
        std::fill(sums.data, sums.data + sums.size, 0.0);
        for (int64_t word = 0; word < words; word++) {
            const double* tile = &weights[word * FEATURES * COLUMNS];
            for (int64_t k = 0; k < some; k++)
                for (int64_t step = 0; step < job.steps; step++) {
                    uint64_t left = bits[(step * job.rows + row + k) * words + word];
                    double* at = &sums[(k * job.steps + step) * COLUMNS];
                    Reals8 sum[PARTS];
                    for (int part = 0; part < PARTS; part++) sum[part] = load8<Reals8>(at + 8 * part);
                    for (; left; left &= left - 1) {
                        const double* own = tile + __builtin_ctzll(left) * COLUMNS;
                        for (int part = 0; part < PARTS; part++) sum[part] = sum[part] + load8<Reals8>(own + 8 * part);
                    }
                    for (int part = 0; part < PARTS; part++) store8(at + 8 * part, sum[part]);
                }
        }
    }

    // What the neurons of a row make of its sums.
    __attribute__((noinline)) void answer(int64_t item, int64_t row, int64_t line, int64_t first, int64_t count) {
        Reals8 v[PARTS];
        for (int part = 0; part < PARTS; part++) v[part] = reals8(NEURON == HARD ? job.v_reset : 0.0);
        const double gain = job.gain, v_th = job.v_th, v_reset = job.v_reset;
        for (int64_t step = 0; step < job.steps; step++) {
            const int64_t to = ((item * job.steps + step) * job.rows + row) * job.units + first;
            double currents[COLUMNS];
            uint8_t spikes[COLUMNS];
            for (int part = 0; part < PARTS; part++) {
                const Reals8 current = load8<Reals8>(&sums[(line + step) * COLUMNS + 8 * part]) +
                                       load8<Reals8>(&bias[8 * part]);
                if (NEURON == NONE) {
                    store8(currents + 8 * part, current);
                    continue;
                }
                const Reals8 H = NEURON == HARD ? v[part] + (current - (v[part] - v_reset)) * gain : v[part] + current;
                const Ints8 over = H >= reals8(v_th);
                v[part] = over ? (NEURON == HARD ? reals8(v_reset) : H - v_th) : H;
                store8(spikes + 8 * part, __builtin_convertvector(over & 1, Bytes8));
            }
            if (NEURON == NONE) std::memcpy(job.currents + to, currents, count * sizeof(double));
            else std::memcpy(job.spikes + to, spikes, count);
        }
        for (int part = 0; part < PARTS; part++)
            for (int k = 0; k < 8; k++) finite &= (bool)std::isfinite(v[part][k]);
    }
};

template <int NEURON>
int run_layer(const LayerJob& job) {
    Layer<NEURON> layer(job);
    for (int64_t item = 0; item < job.items; item++) layer.run(item);
    return layer.finite ? 0 : 1;
}

}  // namespace
