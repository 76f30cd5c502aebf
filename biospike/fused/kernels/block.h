// Spiking attention of circuits/attention.py, one slot (a sample of a trial) after another.
//
// A step, in the order of the network:
//   outputs emit a spike of those they owe; references fall; scores take the coincidences of the spikes of queries and
//   keys that arrived in the step before; attention neurons take their drive and spike; membranes of queries, keys and
//   values take what their dendrites were left with by the step before, and spike; inputs spike; attention and value
//   spikes of this step are owed to the outputs.
//
// Dendrites are not kept: their sums are made where membranes need them, bias first and then the weights of the spikes
// in the order of the inputs, as the synapses of the network add them. Coincidences are bits that two words share.
//
// exp(score - reference) of `nearly` is wrong by a part of 2^-50 (see lanes.h), the network's by less than 2^-52. All
// else is the network's arithmetic, so its membranes and these differ by less than `bound`: with M the largest threshold
// or membrane so far, a step makes at most M*2^-49 in the drive and M*2^-50 in rounded sums. Where a membrane is closer
// than that to its threshold, or a draw of `race` to its chance, the slot is in doubt, and run again by the library's exp.

struct BlockJob {
    int64_t slots, tokens, features, copies, heads, width, marks, steps;
    int64_t seed, encoder, rows, regularity, closed, delay;
    int64_t from_step, score_from, score_to, attend_from, first_spikes;
    double dt, tau_m, rate_per_step, R0, keep, release, w, fall, g_half, tau_g;
    const int64_t* mark;         // 4 x marks: of inputs, streams, attention and outputs, in steps
    const int64_t* trial;        // of every slot
    const int64_t* input_index;  // of every slot: address of its first input, the others follow
    const int64_t* row_index;    // of every row (slot, head, query): the same of its first key
    const double* x;             // slots x inputs (token, copy, feature)
    const double* input_v;
    const double* input_theta;
    const double* weights;       // copies x features x columns: one matrix for all tokens
    const double* bias;          // copies x columns
    const double* v;             // slots x neurons (token, stream, head, width, sign)
    const double* charge;        // of every row
    const double* unmasked;      // slots x keys (head, query, key)
    const double* key_v;
    const double* key_theta;
    const double* reference;     // of every row
    const double* hub;           // of every row: opens_at of race, g of divisive
    int32_t* input_count;        // marks x slots x inputs
    int32_t* stream_count;       // marks x slots x neurons
    int32_t* key_count;          // marks x slots x keys
    double* score;               // marks x slots x keys
    int32_t* output_count;       // marks x slots x outputs (token, head, width, sign)
    int32_t* spike_count;        // slots x keys
    int64_t* row_spikes;         // of every row
    int64_t* repeated;           // of every slot: 1 if a spike was in doubt, and it was run again
};

namespace {

enum Encoder { BERNOULLI, POISSON, REGULAR };
enum Rows { PINNED, RACE, DIVIDED };
enum { COLUMNS = 32, STREAMS = 3 };
constexpr double BOUND = 7.105427357601002e-15;  // 2^-47
constexpr double TOP = 9007199254740992.0;       // 2^53

inline int64_t eights(int64_t count) { return (count + 7) / 8 * 8; }

// Weights and biases in blocks of columns whose rows lie together, one for all slots.
struct Matrix {
    int64_t features, copies, columns, blocks;
    Array<double> weights, bias;

    explicit Matrix(const BlockJob& job)
        : features(job.features), copies(job.copies), columns(STREAMS * job.heads * job.width / job.copies),
          blocks((columns + COLUMNS - 1) / COLUMNS), weights(copies * blocks * features * COLUMNS),
          bias(copies * blocks * COLUMNS) {
        for (int64_t copy = 0; copy < copies; copy++)
            for (int64_t c = 0; c < columns; c++) {
                bias[place(copy, c / COLUMNS) / features + c % COLUMNS] = job.bias[copy * columns + c];
                for (int64_t f = 0; f < features; f++)
                    weights[place(copy, c / COLUMNS) + f * COLUMNS + c % COLUMNS] =
                        job.weights[(copy * features + f) * columns + c];
            }
    }

    int64_t place(int64_t copy, int64_t block) const { return (copy * blocks + block) * features * COLUMNS; }
};

// Bernoulli, Poisson or regular inputs; bits (token, copy, feature), every copy of a token from a word of its own.
struct Inputs {
    const BlockJob& job;
    const int64_t slot, groups, words, padded;
    Draws draws;
    Array<int64_t> bound;  // a number of 53 bits below it is below x
    Array<double> x, v, theta;
    Array<uint64_t> bits;
    Counter counter;

    Inputs(const BlockJob& j, int64_t s)
        : job(j), slot(s), groups(j.tokens * j.copies), words(words_of(j.features)), padded(words * 64),
          draws(j.seed), bound(groups * padded), x(j.encoder ? groups * padded : 0),
          v(j.encoder ? groups * padded : 0), theta(j.encoder ? groups * padded : 0), bits(groups * words),
          counter(groups * words) {
        for (int64_t group = 0; group < groups; group++)
            for (int64_t f = 0; f < job.features; f++) {
                const int64_t to = group * padded + f, from = (slot * groups + group) * job.features + f;
                bound[to] = (int64_t)std::min(std::ceil(job.x[from] * TOP), TOP);
                if (job.encoder == BERNOULLI) continue;
                x[to] = job.encoder == POISSON ? job.rate_per_step * job.x[from] : job.x[from];
                v[to] = job.input_v[from];
                theta[to] = job.encoder == POISSON ? job.input_theta[from] : 1.0;
            }
    }

    int64_t index(int64_t group) const { return job.input_index[slot] + group * job.features; }

    void step(int64_t step) {
        const Draws::Of of = draws.of(step, job.trial[slot], job.input_index[slot]);
        for (int64_t group = 0; group < groups; group++)
            for (int64_t word = 0; word < words; word++) {
                const int64_t count = std::min<int64_t>(64, job.features - word * 64);
                uint64_t found = 0;
                if (job.encoder == BERNOULLI)
                    for (int64_t k = 0; k < count; k += 8) {
                        const Words8 drawn = draws.eight(of, index(group) + word * 64 + k);
                        const Ints8 below = (Ints8)drawn < load8<Ints8>(&bound[group * padded + word * 64 + k]);
                        found |= (uint64_t)bits8(below) << k;
                    }
                else
                    for (int64_t k = 0; k < count; k++)
                        found |= (uint64_t)charge(group, word * 64 + k, step) << k;
                bits[group * words + word] = found;
                counter.add(group * words + word, found);
            }
        counter.end_step();
    }

    bool charge(int64_t group, int64_t feature, int64_t step) {
        const int64_t k = group * padded + feature;
        v[k] = x[k] + v[k];
        if (!(v[k] >= theta[k])) return false;
        v[k] -= theta[k];
        if (job.encoder == POISSON)
            theta[k] = _bs_exponential(job.seed, job.trial[slot], index(group) + feature, step, 0);
        return true;
    }

    void keep(int64_t mark) {
        counter.read();
        int32_t* to = job.input_count + (mark * job.slots + slot) * groups * job.features;
        for (int64_t group = 0; group < groups; group++)
            to = std::copy_n(&counter.counts[group * padded], job.features, to);
    }
};

// ON and OFF neurons of queries, keys and values: bits (sign, token, column), every copy from a new block of columns.
struct Pairs {
    const BlockJob& job;
    const int64_t slot;
    const Matrix& matrix;
    const int64_t units, line, words;  // of a stream; bits of a token and sign, and words with one to spare
    const double decay;
    Array<double> on, off;
    Array<uint64_t> bits;
    Counter counter;

    Pairs(const BlockJob& j, int64_t s, const Matrix& m)
        : job(j), slot(s), matrix(m), units(j.heads * j.width), line(m.copies * m.blocks * COLUMNS),
          words(words_of(line) + 1), decay(std::exp(-j.dt / j.tau_m)), on(j.tokens * line), off(j.tokens * line),
          bits(2 * j.tokens * words), counter(2 * j.tokens * words) {
        each([&](int64_t token, int64_t bit, int64_t from) {
            on[token * line + bit] = job.v[from];
            off[token * line + bit] = job.v[from + 1];
        });
    }

    // First bit of a stream.
    int64_t start(int64_t stream) const { return matrix.copies == 1 ? stream * units : stream * matrix.blocks * COLUMNS; }
    const uint64_t* spikes(int sign, int64_t token) const { return &bits[(sign * job.tokens + token) * words]; }

    // Calls with the token, the bit and the place among the neurons of the network of every pair.
    template <class Call>
    void each(Call call) const {
        int64_t from = slot * job.tokens * STREAMS * units * 2;
        for (int64_t token = 0; token < job.tokens; token++)
            for (int64_t stream = 0; stream < STREAMS; stream++)
                for (int64_t unit = 0; unit < units; unit++, from += 2) call(token, start(stream) + unit, from);
    }

    void step(int64_t step, const Inputs& inputs) {
        std::fill(bits.data, bits.data + bits.size, 0);
        for (int64_t copy = 0; copy < matrix.copies; copy++)
            for (int64_t block = 0; block < matrix.blocks; block++)
                for (int64_t token = 0; token < job.tokens; token++) {
                    const int64_t first = (copy * matrix.blocks + block) * COLUMNS;
                    integrate(step, inputs, copy, block, token, first);
                }
        for (int64_t word = 0; word < (int64_t)bits.size; word++) counter.add(word, bits[word]);
        counter.end_step();
    }

    __attribute__((noinline)) void integrate(int64_t step, const Inputs& inputs, int64_t copy, int64_t block, int64_t token, int64_t first) {
        enum { PARTS = COLUMNS / 8 };
        Reals8 sum[PARTS];
        for (int part = 0; part < PARTS; part++)
            // Dendrites are empty before the first step.
            sum[part] = step ? load8<Reals8>(&matrix.bias[first + 8 * part]) : Reals8{};
        const double* rows = &matrix.weights[matrix.place(copy, block)];
        const uint64_t* sent = &inputs.bits[(token * matrix.copies + copy) * inputs.words];
        for (int64_t word = 0; word < inputs.words; word++)
            for (uint64_t left = sent[word]; left; left &= left - 1) {
                const double* row = rows + (word * 64 + __builtin_ctzll(left)) * COLUMNS;
                for (int part = 0; part < PARTS; part++) sum[part] = sum[part] + load8<Reals8>(row + 8 * part);
            }
        uint64_t fired[2] = {0, 0};
        const double felt = step >= job.from_step;
        for (int part = 0; part < PARTS; part++)
            for (int sign = 0; sign < 2; sign++) {
                double* at = (sign ? &off[0] : &on[0]) + token * line + first + 8 * part;
                const Reals8 current = felt * sum[part];
                const Reals8 v = decay * load8<Reals8>(at) + (sign ? -current : current);
                const Ints8 over = v >= reals8(1.0);
                store8(at, over ? v - 1.0 : v);
                fired[sign] |= (uint64_t)bits8(over) << 8 * part;
            }
        for (int sign = 0; sign < 2; sign++)
            bits[(sign * job.tokens + token) * words + first / 64] |= fired[sign] << first % 64;
    }

    bool finite() const {
        bool all = true;
        each([&](int64_t token, int64_t bit, int64_t) {
            all &= std::isfinite(on[token * line + bit]) && std::isfinite(off[token * line + bit]);
        });
        return all;
    }

    void keep(int64_t mark) {
        counter.read();
        int32_t* to = job.stream_count + mark * job.slots * job.tokens * STREAMS * units * 2;
        each([&](int64_t token, int64_t bit, int64_t at) {
            for (int sign = 0; sign < 2; sign++)
                to[at + sign] = counter.counts[(sign * job.tokens + token) * words * 64 + bit];
        });
    }
};

}  // namespace
