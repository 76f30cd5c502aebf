// Scores, attention neurons and outputs of one slot; see block.h.

namespace {

// A spike of an attention neuron: row (head, query) and key.
struct Attended {
    int64_t row, key;
};

// Scores and attention neurons; rows are (head, query), and their keys are padded to whole vectors.
template <int KIND, bool NEARLY>
struct Attention {
    const BlockJob& job;
    const int64_t slot, tokens, padded, rows, words, held;  // words of a query; vectors of a query's bits in a ring
    Draws draws;
    Array<double> u, v, theta, reference, hub, scored;
    Array<int32_t> coincidences, count;
    Array<uint64_t> query, key, other;  // ON then OFF; ON then OFF; OFF then ON
    Array<uint8_t> live;                // of eight keys: those that are not masked
    Array<int64_t> row_spikes;
    std::vector<Attended> fired, early;  // early: whose charge is above threshold from the start
    const double charge_of_step, inverse, decay;
    double largest = 1.0, bound = 0.0;
    int64_t unread = 0;  // steps of which coincidences are not in `scored` yet
    bool doubt = false;

    Attention(const BlockJob& j, int64_t s)
        : job(j), slot(s), tokens(j.tokens), padded(eights(j.tokens)), rows(j.heads * j.tokens),
          words(words_of(2 * j.width)), held(j.heads * words * padded), draws(j.seed), u(rows * padded),
          v(rows * padded), theta(rows * padded, HUGE_VAL), reference(rows), hub(rows), scored(rows * padded),
          coincidences(rows * padded), count(rows * padded), query(rows * words + 1), key((j.delay + 1) * held),
          other((j.delay + 1) * held), live(rows * padded / 8), row_spikes(rows), charge_of_step(j.R0 * j.dt),
          inverse(KIND == DIVIDED ? 1.0 / j.g_half : 0.0), decay(KIND == DIVIDED ? std::exp(-j.dt / j.tau_g) : 0.0) {
        for (int64_t row = 0; row < rows; row++) {
            reference[row] = job.reference[slot * rows + row];
            hub[row] = KIND == PINNED ? 0.0 : job.hub[slot * rows + row];
            for (int64_t k = 0; k < tokens; k++) {
                const int64_t to = row * padded + k, from = (slot * rows + row) * tokens + k;
                if (job.unmasked[from] != 0.0) live[to / 8] |= 1 << k % 8;
                v[to] = job.key_v[from];
                theta[to] = job.key_theta[from];
                largest = std::max(largest, theta[to]);
                if (KIND == PINNED && v[to] >= theta[to]) early.push_back({row, k});
            }
        }
    }

    // What queries and keys sent in the step before, of which keys arrive after their delay.
    void listen(int64_t step, const Pairs& pairs) {
        const int64_t width = job.width, ring = (step + job.delay) % (job.delay + 1) * held;
        Array<uint64_t> spelt(3 * words + 3);
        std::fill(query.data, query.data + query.size, 0);
        for (int64_t token = 0; token < tokens; token++)
            for (int64_t head = 0; head < job.heads; head++) {
                std::fill(spelt.data, spelt.data + spelt.size, 0);
                uint64_t *straight = spelt.data, *crossed = straight + words + 1;
                for (int sign = 0; sign < 2; sign++) {
                    const uint64_t* sent = pairs.spikes(sign, token);
                    const int64_t q = pairs.start(0) + head * width, k = pairs.start(1) + head * width;
                    put_bits(&query[(head * tokens + token) * words], sign * width, width, sent, q);
                    put_bits(straight, sign * width, width, sent, k);
                    put_bits(crossed, (1 - sign) * width, width, sent, k);
                }
                for (int64_t word = 0; word < words; word++) {
                    key[ring + (head * words + word) * padded + token] = straight[word];
                    other[ring + (head * words + word) * padded + token] = crossed[word];
                }
            }
    }

    void step(int64_t step, const Pairs& pairs) {
        fired.clear();
        const bool arriving = step >= job.score_from && step < job.score_to, attending = step >= job.attend_from;
        if (step + job.delay >= job.score_from && step < job.score_to) listen(step, pairs);
        if (attending) set_bound(step);
        // Scores are empty until something arrives.
        for (int64_t row = 0; row < rows && (attending || step >= job.score_from); row++) {
            if (attending && arriving) update<true, true>(row, step);
            else if (attending) update<true, false>(row, step);
            else if (arriving) update<false, true>(row, step);
            else update<false, false>(row, step);
        }
        if (!early.empty()) spend(attending, step);
        if (arriving && ++unread * 2 * job.width > INT32_MAX - 2 * job.width) read_scores();
    }

    // Keys that start above threshold spike although nothing charges them yet, the masked ones too.
    void spend(bool attending, int64_t step) {
        size_t left = 0, first = fired.size();
        for (const Attended& one : early) {
            const int64_t at = one.row * padded + one.key;
            if (attending && is_live(at)) continue;  // `update` sees it from now on
            if (!(v[at] >= theta[at])) continue;
            fired.push_back(one);
            early[left++] = one;
        }
        early.resize(left);
        for (size_t n = first; n < fired.size(); n++) spike(fired[n].row, fired[n].key, step);
    }

    bool is_live(int64_t at) const { return live[at / 8] >> at % 8 & 1; }

    void set_bound(int64_t step) { bound = BOUND * (double)(step - job.attend_from + 1) * largest; }

    template <bool ATTENDING, bool ARRIVING>
    __attribute__((noinline)) void update(int64_t row, int64_t step) {
        const int64_t line = row * padded, head = row / tokens, first = line / 8;
        const double charge = job.charge[slot * rows + row], keep = job.keep, held_bound = bound;
        const double dt = job.dt, R0 = job.R0, step_charge = charge_of_step;
        const int64_t index = job.row_index[slot * rows + row], end = padded, parts = words;
        double *__restrict scores = &u[line], *__restrict charges = &v[line];
        const double* __restrict thresholds = &theta[line];
        int32_t* __restrict sums = &coincidences[line];
        const uint8_t* __restrict alive = &live[first];
        bool doubtful = false;
        const uint64_t* asked = &query[row * words];
        const int64_t ring = step % (job.delay + 1) * held + head * words * padded;
        const uint64_t *told = &key[ring], *crossed = &other[ring];
        double gain = 1.0;
        bool open = true;
        Draws::Of of;
        if (ATTENDING) {
            reference[row] -= job.fall + job.release * (row_spikes[row] < job.first_spikes);
            if (KIND == RACE) {
                open = (double)step >= hub[row];
                of = draws.of(step, job.trial[slot], job.row_index[slot * rows + row]);
            }
            if (KIND == DIVIDED) {
                gain = 1.0 / (1.0 + (inverse * hub[row]));
                hub[row] = decay * hub[row];
            }
        }
        const double down = reference[row];
        for (int64_t k = 0; k < end; k += 8) {
            Ints8 arrived = {};
            if (ARRIVING) {
                arrived = shared(asked, told, crossed, k);
                for (int64_t word = 1; word < parts; word++)
                    arrived += shared(asked + word, told + word * end, crossed + word * end, k);
                store8(sums + k, load8<Counts8>(sums + k) + __builtin_convertvector(arrived, Counts8));
            }
            const Reals8 score = keep * load8<Reals8>(scores + k) + charge * __builtin_convertvector(arrived, Reals8);
            store8(scores + k, score);
            if (!ATTENDING || !open || !alive[k / 8]) continue;
            const Reals8 distance = score - down, intensity = NEARLY ? nearly_exp8(distance) : exactly(distance);
            Ints8 over, near;
            if (KIND == RACE) {
                const Words8 draw = draws.eight(of, index + k);
                const Reals8 drawn = __builtin_convertvector(draw, Reals8);
                const Reals8 chance = (dt * (R0 * intensity)) * TOP, gap = drawn - chance;
                over = drawn < chance;
                near = (gap <= BOUND * chance) & (gap >= -BOUND * chance);
            } else {
                const Reals8 charged = step_charge * (gain * intensity) + load8<Reals8>(charges + k);
                store8(charges + k, charged);
                const Reals8 gap = charged - load8<Reals8>(thresholds + k);
                over = gap >= reals8(0.0);
                near = (gap <= reals8(held_bound)) & (gap >= reals8(-held_bound));
            }
            if (NEARLY) doubtful |= (bits8(near | (distance > reals8(700.0))) & alive[k / 8]) != 0;
            for (unsigned found = bits8(over) & alive[k / 8]; found; found &= found - 1)
                fired.push_back({row, k + __builtin_ctz(found)});
        }
        doubt |= doubtful;
        if (ATTENDING)
            for (size_t n = fired.size(); n > 0 && fired[n - 1].row == row; n--) spike(row, fired[n - 1].key, step);
    }

    // Coincidences of a word of a query and those of eight keys: of one sign without those of the other.
    static Ints8 shared(const uint64_t* asked, const uint64_t* told, const uint64_t* crossed, int64_t k) {
        const Words8 asks = words8(*asked);
        return (Ints8)(ones8(asks & load8<Words8>(told + k)) - ones8(asks & load8<Words8>(crossed + k)));
    }

    static Reals8 exactly(Reals8 of) {
        for (int k = 0; k < 8; k++) of[k] = std::exp(of[k]);
        return of;
    }

    void spike(int64_t row, int64_t k, int64_t step) {
        const int64_t at = row * padded + k;
        row_spikes[row]++;
        count[at]++;
        reference[row] += job.w;
        if (KIND == RACE) {
            hub[row] = (double)(step + 1 + job.closed);
            return;
        }
        if (KIND == DIVIDED) hub[row] += 1.0;
        largest = std::max(largest, v[at]);
        v[at] -= theta[at];
        if (KIND == PINNED) {
            const int64_t index = job.row_index[slot * rows + row] + k;
            theta[at] = _bs_gamma(job.seed, job.trial[slot], index, step, job.regularity);
            largest = std::max(largest, theta[at]);
        }
        set_bound(step);
    }

    void read_scores() {
        for (size_t k = 0; k < scored.size; k++) {
            scored[k] += coincidences[k];
            coincidences[k] = 0;
        }
        unread = 0;
    }

    void keep(int64_t mark) {
        read_scores();
        const int64_t first = (mark * job.slots + slot) * rows * tokens;
        for (int64_t row = 0; row < rows; row++)
            for (int64_t k = 0; k < tokens; k++) {
                job.key_count[first + row * tokens + k] = count[row * padded + k];
                job.score[first + row * tokens + k] = scored[row * padded + k];
            }
    }

    bool keep_end() const {
        bool finite = true;
        for (int64_t row = 0; row < rows; row++) {
            job.row_spikes[slot * rows + row] = row_spikes[row];
            finite &= std::isfinite(reference[row]) && std::isfinite(hub[row]);
            for (int64_t k = 0; k < tokens; k++) {
                const int64_t at = row * padded + k;
                job.spike_count[(slot * rows + row) * tokens + k] = count[at];
                finite &= std::isfinite(u[at]) && (std::isfinite(v[at]) || !is_live(at));
            }
        }
        return finite;
    }
};

// Spikes that outputs (head, query, sign, unit) owe, and have emitted.
struct Outputs {
    const BlockJob& job;
    const int64_t slot, line;
    Array<int32_t> owed, count;
    Array<uint8_t> owing;  // of every row

    Outputs(const BlockJob& j, int64_t s)
        : job(j), slot(s), line(2 * j.width), owed(j.heads * j.tokens * line), count(owed.size),
          owing(j.heads * j.tokens) {}

    void emit() {
        for (size_t row = 0; row < owing.size; row++) {
            if (!owing[row]) continue;
            int32_t *__restrict owes = &owed[row * line], *__restrict emitted = &count[row * line], left = 0;
            for (int64_t k = 0; k < line; k++) {
                const int32_t spike = owes[k] > 0;
                emitted[k] += spike;
                owes[k] -= spike;
                left |= owes[k];
            }
            owing[row] = left != 0;
        }
    }

    // An attention spike lets the value spikes of its key in the same step through.
    void take(const std::vector<Attended>& fired, const Pairs& pairs) {
        for (const Attended& one : fired) {
            const int64_t start = pairs.start(2) + one.row / job.tokens * job.width;
            owing[one.row] = 1;
            for (int sign = 0; sign < 2; sign++) {
                const uint64_t* sent = pairs.spikes(sign, one.key);
                int32_t* owes = &owed[one.row * line + sign * job.width];
                for (int64_t unit = 0; unit < job.width; unit += 64) {
                    const int64_t some = std::min<int64_t>(64, job.width - unit);
                    const uint64_t found = bits_at(sent, start + unit, some);
                    for (int64_t k = 0; k < some; k++) owes[unit + k] += (int32_t)(found >> k & 1);
                }
            }
        }
    }

    void keep(int64_t mark) const {
        int32_t* to = job.output_count + (mark * job.slots + slot) * (int64_t)count.size;
        for (int64_t token = 0; token < job.tokens; token++)
            for (int64_t head = 0; head < job.heads; head++)
                for (int64_t unit = 0; unit < job.width; unit++)
                    for (int sign = 0; sign < 2; sign++)
                        *to++ = count[(head * job.tokens + token) * line + sign * job.width + unit];
    }
};

// Runs a slot; false if it is in doubt.
template <int KIND, bool NEARLY>
bool run_slot(const BlockJob& job, const Matrix& matrix, int64_t slot, bool& finite) {
    Inputs inputs(job, slot);
    Pairs pairs(job, slot, matrix);
    Attention<KIND, NEARLY> attention(job, slot);
    Outputs outputs(job, slot);
    const auto keep = [&](int64_t step, bool end) {
        for (int64_t mark = 0; mark < job.marks; mark++) {
            const int64_t* of = job.mark + mark;
            const auto due = [&](int kind) { return end ? of[kind * job.marks] >= step : of[kind * job.marks] == step; };
            if (due(0)) inputs.keep(mark);
            if (due(1)) pairs.keep(mark);
            if (due(2)) attention.keep(mark);
            if (due(3)) outputs.keep(mark);
        }
    };
    for (int64_t step = 0; step < job.steps; step++) {
        keep(step, false);
        outputs.emit();
        attention.step(step, pairs);
        if (NEARLY && attention.doubt) return false;
        pairs.step(step, inputs);
        inputs.step(step);
        outputs.take(attention.fired, pairs);
    }
    keep(job.steps, true);
    finite &= attention.keep_end() && pairs.finite();
    return true;
}

template <int KIND>
int run_block(const BlockJob& job, bool nearly) {
    const Flushed scope;
    const Matrix matrix(job);
    bool finite = true;
    for (int64_t slot = 0; slot < job.slots; slot++) {
        if (nearly && run_slot<KIND, true>(job, matrix, slot, finite)) continue;
        job.repeated[slot] = nearly;
        run_slot<KIND, false>(job, matrix, slot, finite);
    }
    return finite ? 0 : 1;
}

}  // namespace
