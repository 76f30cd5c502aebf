// Keys that integrate drive*gate under a gate that is common to the row: escape and integrate, and divisive.
//
// Each step, in the order of the circuit:   g = gate(hub);  hub moves on;  v_k = dt*(drive_k*g) + v_k;
// keys with v_k >= theta_k spike: the hub is told, v_k -= theta_k, and theta_k is drawn anew.
//
// `walk` is that, word for word. `run_clocks` finds the same spikes without touching the keys: since the gate is common,
// the sum Q of dt*g is a clock of the row, and key k fires where drive_k*Q passes what it still lacks, r_k. A step costs
// an addition, a multiplication and a comparison a row, and a spike one pass over the row. Rounded sums differ, though.
// So a bound B on all rounding errors, the circuit's and the clock's, decides: a key fires surely if it is B beyond its
// threshold, surely not if it is B before. In between the row is in doubt, and is run again by `walk`. The spikes are
// therefore the circuit's in every case, and what is not sure is only slower.
//
// The bound. Let u = 2^-53, n the steps, theta <= t in the row, and M = t + 2. A key that passes its threshold by more
// than 1 in a step puts the row in doubt, so v, r and the charge between two passes are at most M in size. The circuit
// errs by u*M in each sum of v, u*M in each reset and 2u in each charge: 4*n*u*M. The clock errs by u in each product
// and u*Q in each sum, by u*M in r at each pass and each reset, and by the error of its gate: 5*n*u*M and
// n*u*M*(7 + |I|), |I| <= MOST_LOG, where I is the hub of `Pinned`; and by 8u in each threshold, for whose logarithm it
// takes the library's. Together (24 + MOST_LOG)*n*u*M; DOUBT leaves a fifth for the rounding of the bound itself and of
// the alarm.

namespace {

constexpr double MOST_LOG = 16.0;
constexpr double DOUBT = 48.0 * UNIT;
constexpr double NEVER = 1e290;

// Vectors of the compiler, which makes of them what instructions the processor has; each lane rounds as a number alone.
typedef double Lanes __attribute__((vector_size(32)));
typedef int64_t Mask __attribute__((vector_size(32)));

inline Lanes all(double value) { return Lanes{value, value, value, value}; }

inline Mask only(int lane) {
    static const int64_t line[2*LANES - 1] = {0, 0, 0, -1, 0, 0, 0};
    Mask mask;
    std::memcpy(&mask, line + LANES - 1 - lane, sizeof(mask));
    return mask;
}

inline unsigned bits(Mask mask) {
#ifdef __AVX__
    return _mm256_movemask_pd((__m256d)mask);
#else
    return (mask[0] & 1) | (mask[1] & 2) | (mask[2] & 4) | (mask[3] & 8);
#endif
}

// The hub of escape and integrate: I falls by w*R0*dt a step and rises by w a spike; the gate is exp(-I). Between spikes
// the clock multiplies its gate by exp(w*R0*dt): m steps later it is wrong by m*u*(3 + |I|), and 4u of two exponentials.
struct Pinned {  // a = w, b = R0
    double w, fall, grow;
    explicit Pinned(const Job& job) : w(job.a), fall(0.0 - ((job.b * job.dt) * job.a)), grow(std::exp(-fall)) {}
    double gate(double I) const { return std::exp(-I); }
    double step(double I) const { return fall + I; }
    double spike(double I) const { return I + w; }
    bool known(double I) const { return std::fabs(I) <= MOST_LOG; }
    void step(Lanes& I, Lanes& gate) const {
        I = fall + I;
        gate = gate * grow;
    }
};

// The hub of divisive: g decays and rises by 1 a spike; the gate 1/(1 + g/g_half) costs the clock no error.
struct Divided {  // a = g_half, b = tau_g
    double inverse, decay;
    explicit Divided(const Job& job) : inverse(1.0 / job.a), decay(std::exp(-job.dt / job.b)) {}
    double gate(double g) const { return 1.0 / (1.0 + (inverse * g)); }
    double step(double g) const { return decay * g; }
    double spike(double g) const { return g + 1.0; }
    bool known(double) const { return true; }
    void step(Lanes& g, Lanes& gate) const {
        g = decay * g;
        gate = 1.0 / (1.0 + (inverse * g));
    }
};

inline double redraw(const Job& job, int64_t row, int64_t key, int64_t step) {
    return _bs_gamma(job.seed, job.trial[row], job.index[key], step, job.regularity);
}

// An exponential threshold but for rounding, in less time: both logarithms are right to 2 units in the last place, 4u.
inline double redraw_nearly(const Job& job, int64_t row, int64_t key, int64_t step) {
    if (job.regularity != 1) return redraw(job, row, key, step);
    return -std::log(1.0 - _bs_uniform(job.seed, job.trial[row], job.index[key], step, 0));
}

// The circuit as it is written, one row.
template <class Gate>
bool walk(const Job& job, const Gate& law, int64_t row) {
    const int64_t start = job.first[row], keys = job.first[row + 1] - start, size = padded(keys);
    std::vector<double> drives(size, 0.0), vs(size, 0.0), thetas(size, HUGE_VAL);
    double *__restrict drive = drives.data(), *__restrict v = vs.data(), *__restrict theta = thetas.data();
    std::copy(job.drive + start, job.drive + start + keys, drive);
    std::copy(job.v + start, job.v + start + keys, v);
    std::copy(job.theta + start, job.theta + start + keys, theta);
    Record record(keys);
    std::vector<int64_t> fired;
    double hub = job.hub[row];
    const double dt = job.dt;
    int64_t mark = 0;
    for (int64_t step = 0; step < job.steps; step++) {
        const double gate = law.gate(hub);
        hub = law.step(hub);
        int64_t any = 0;
        for (int64_t k = 0; k < size; k++) {
            v[k] = (dt * (drive[k] * gate)) + v[k];
            any |= v[k] >= theta[k];
        }
        if (any) {
            fired.clear();
            for (int64_t k = 0; k < keys; k++)
                if (v[k] >= theta[k]) fired.push_back(k);
            for (size_t n = 0; n < fired.size(); n++) hub = law.spike(hub);
            record.spikes += fired.size();
            for (int64_t k : fired) {
                v[k] -= theta[k];
                theta[k] = redraw(job, row, start + k, step);
                record.keys[k].spike(record.spikes);
            }
        }
        if (mark < job.marks && step + 1 == job.mark[mark]) record.keep_mark(job, row, mark++);
    }
    record.keep_end(job, row);
    job.hub_end[row] = hub;
    bool finite = std::isfinite(hub);
    for (int64_t k = 0; k < keys; k++) finite &= std::isfinite(v[k]);
    return finite;
}

inline Lanes load(const double* from) {
    Lanes lanes;
    std::memcpy(&lanes, from, sizeof(lanes));
    return lanes;
}

inline double lowest(Lanes of) { return std::min(std::min(of[0], of[1]), std::min(of[2], of[3])); }

// Keys of a row under its clock.
template <class Gate>
struct Clocked {
    const Job& job;
    const Gate& law;
    const int64_t row, start, size;
    std::vector<double> lacks, drive, inverse;  // r_k; drive_k and its inverse
    std::vector<int64_t> fired;
    Record record;
    double largest = 0.0, bound;  // threshold so far; B
    bool sure;

    Clocked(const Job& j, const Gate& l, int64_t r)
        : job(j), law(l), row(r), start(j.first[r]), size(padded(j.first[r + 1] - start)), lacks(size, NEVER),
          drive(size, 0.0), inverse(size, 1.0), record(j.first[r + 1] - start), sure(l.known(j.hub[r])) {
        for (size_t k = 0; k < record.keys.size(); k++) {
            const double d = j.drive[start + k], v = j.v[start + k], theta = j.theta[start + k];
            drive[k] = d;
            inverse[k] = d > 1 / NEVER ? 1 / d : NEVER;
            lacks[k] = theta - v;
            largest = std::max(largest, theta);
            sure &= d >= 0 && v >= 0 && v <= theta && theta < NEVER;
        }
        set_bound();
    }

    void set_bound() { bound = DOUBT * (double)job.steps * (largest + 2.0); }

    // The clock at which a key may fire: where the first comes within the bound.
    double alarm() const {
        Lanes least = all(NEVER);
        for (int64_t k = 0; k < size; k += LANES) {
            const Lanes when = (load(&lacks[k]) - bound) * load(&inverse[k]);
            least = when < least ? when : least;
        }
        return lowest(least);
    }

    // After `clock` since the last pass: who fires tells the hub and draws anew. Returns the next alarm.
    double pass(double clock, int64_t step, double& hub) {
        Lanes least = all(NEVER);
        bool doubt = !law.known(hub);
        for (int64_t k = 0; k < size; k += LANES) {
            const Lanes r = load(&lacks[k]) - load(&drive[k]) * clock;
            std::memcpy(&lacks[k], &r, sizeof(r));
            const Mask near = r < all(bound);
            const Lanes when = near ? all(NEVER) : (r - bound) * load(&inverse[k]);
            least = when < least ? when : least;
            for (unsigned found = bits(near); found; found &= found - 1) {
                const int64_t key = k + __builtin_ctz(found);
                doubt |= !(lacks[key] <= -bound && lacks[key] >= -1.0);
                fired.push_back(key);
            }
        }
        for (size_t n = 0; n < fired.size(); n++) hub = law.spike(hub);
        if (doubt || !law.known(hub)) {
            sure = false;
            fired.clear();
            return HUGE_VAL;
        }
        double next = lowest(least);
        record.spikes += fired.size();
        const double before = largest;
        for (int64_t k : fired) {
            const double theta = redraw_nearly(job, row, start + k, step);
            largest = std::max(largest, theta);
            lacks[k] += theta;
            next = std::min(next, (lacks[k] - bound) * inverse[k]);
            record.keys[k].spike(record.spikes);
        }
        fired.clear();
        if (largest == before) return next;
        set_bound();
        return alarm();
    }
};

// Steps until a clock comes to its alarm, or to the end; returns which.
template <class Gate>
__attribute__((noinline)) unsigned wait(const Gate& law, double dt, Lanes& hub, Lanes& gate, Lanes& clock, Lanes alarm,
                                        int64_t& step, int64_t end) {
    Lanes h = hub, g = gate, q = clock;
    unsigned rung = 0;
    int64_t s = step;
    while (s < end && !rung) {
        q = q + dt * g;
        law.step(h, g);
        rung = bits(q >= alarm);
        s++;
    }
    hub = h;
    gate = g;
    clock = q;
    step = s;
    return rung;
}

// Rows side by side, each by its clock.
template <class Gate>
bool run_clocks(const Job& job, const Gate& law, int64_t row, int64_t count) {
    std::vector<Clocked<Gate>> rows;
    rows.reserve(count);
    Lanes hub = all(0.0), gate = all(0.0), clock = all(0.0), alarm = all(HUGE_VAL);
    for (int64_t n = 0; n < count; n++) {
        rows.emplace_back(job, law, row + n);
        hub[n] = job.hub[row + n];
        gate[n] = law.gate(hub[n]);
        if (rows[n].sure) alarm[n] = rows[n].alarm();
    }
    int64_t step = 0;
    for (int64_t mark = 0; mark <= job.marks; mark++) {
        const int64_t end = mark < job.marks ? job.mark[mark] : job.steps;
        while (step < end) {
            for (unsigned rung = wait(law, job.dt, hub, gate, clock, alarm, step, end); rung; rung &= rung - 1) {
                const int n = __builtin_ctz(rung);
                double state = hub[n];
                const double next = rows[n].pass(clock[n], step - 1, state);
                // A lane is put into the vector as a whole one: what is stored in parts cannot be loaded soon.
                const Mask own = only(n);
                hub = own ? all(state) : hub;
                gate = own ? all(law.gate(state)) : gate;
                alarm = own ? all(next) : alarm;
                clock = own ? all(0.0) : clock;
            }
        }
        for (int64_t n = 0; n < count; n++) {
            rows[n].sure &= law.known(hub[n]);
            if (mark < job.marks) rows[n].record.keep_mark(job, row + n, mark);
        }
    }
    bool finite = true;
    for (int64_t n = 0; n < count; n++) {
        rows[n].record.keep_end(job, row + n);
        job.hub_end[row + n] = hub[n];
        job.repeated[row + n] = !rows[n].sure;
        if (!rows[n].sure) finite &= walk(job, law, row + n);
    }
    return finite;
}

// With `clocked` false every row is walked.
template <class Gate>
int charge(const Job& job, bool clocked) {
    const Flushed scope;
    const Gate law(job);
    bool finite = true;
    for (int64_t row = 0; row < job.rows; row += LANES) {
        const int64_t count = std::min<int64_t>(LANES, job.rows - row);
        if (clocked)
            finite &= run_clocks(job, law, row, count);
        else
            for (int64_t n = 0; n < count; n++) finite &= walk(job, law, row + n);
    }
    return finite ? 0 : 1;
}

}  // namespace
