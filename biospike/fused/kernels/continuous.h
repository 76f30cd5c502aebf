// The limit dt -> 0 of race and escape, spike by spike: the same law, without a grid. dt only says when windows end.
//
// Race: an open row waits an exponential time of rate sum_k drive_k, then key k spikes with probability
// drive_k/sum_k drive_k, and the row is closed for closed*dt. Escape: I falls by a = w*R0 a second, so the clock of the
// row is Q(t) = exp(-I)*(exp(a*t) - 1)/a, and the key for which r_k/drive_k is least fires at
// t = log(1 + a*exp(I)*r_k/drive_k)/a. Random numbers are addressed by how many spikes there were.

namespace {

// Windows that end before a time are kept; time in steps.
struct Windows {
    const Job& job;
    const int64_t row;
    int64_t mark = 0;

    bool reach(double time, const Record& record) {
        while (mark < job.marks && time >= (double)job.mark[mark]) record.keep_mark(job, row, mark++);
        return time < (double)job.steps;
    }
};

void race_without_grid(const Job& job, int64_t row) {
    const int64_t start = job.first[row], keys = job.first[row + 1] - start, index = job.index[start];
    std::vector<double> sums(keys);
    double total = 0.0;
    for (int64_t k = 0; k < keys; k++) sums[k] = total += job.dt * job.drive[start + k];
    Record record(keys);
    Windows windows{job, row};
    double time = 0.0;
    for (int64_t n = 0;; n++) {
        double u, w;
        _bs_two_uniforms(job.seed, job.trial[row], index, n, 0, u, w);
        time -= std::log(1.0 - u) / total;
        if (!windows.reach(time, record)) break;
        const int64_t k = std::upper_bound(sums.begin(), sums.end() - 1, w * total) - sums.begin();
        record.keys[k].spike(++record.spikes);
        time += (double)job.closed;
    }
    record.keep_end(job, row);
}

void escape_without_grid(const Job& job, int64_t row) {
    const int64_t start = job.first[row], keys = job.first[row + 1] - start;
    const double slope = job.a * job.b * job.dt;  // nats a step
    std::vector<double> lacks(keys), drive(keys);
    for (int64_t k = 0; k < keys; k++) {
        lacks[k] = job.theta[start + k] - job.v[start + k];
        drive[k] = job.dt * job.drive[start + k];
    }
    Record record(keys);
    Windows windows{job, row};
    double time = 0.0, I = job.hub[row];
    for (;;) {
        int64_t next = 0;
        double clock = HUGE_VAL;
        for (int64_t k = 0; k < keys; k++) {
            const double when = drive[k] > 0 ? lacks[k] / drive[k] : HUGE_VAL;
            if (when < clock) clock = when, next = k;
        }
        const double wait = std::log1p(slope * std::exp(I) * clock) / slope;
        time += wait;
        if (!windows.reach(time, record)) break;
        for (int64_t k = 0; k < keys; k++) lacks[k] -= drive[k] * clock;
        I += job.a - slope * wait;
        record.keys[next].spike(++record.spikes);
        lacks[next] = redraw_nearly(job, row, start + next, record.keys[next].spikes);
    }
    record.keep_end(job, row);
    job.hub_end[row] = I;
}

inline int each_row(const Job& job, void (*run)(const Job&, int64_t)) {
    for (int64_t row = 0; row < job.rows; row++) run(job, row);
    return 0;
}

}  // namespace
