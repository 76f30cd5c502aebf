// The kernels of biospike.fused, one function each; 0 if every variable stayed finite, else 1.

#include "job.h"
#include "charge.h"
#include "race.h"
#include "continuous.h"
#include "lanes.h"
#include "bits.h"
#include "block.h"
#include "attend.h"
#include "layer.h"

extern "C" {
int biospike_pinned(const Job* job, int clocked) { return charge<Pinned>(*job, clocked); }
int biospike_divided(const Job* job, int clocked) { return charge<Divided>(*job, clocked); }
int biospike_race(const Job* job, int) { return race(*job); }
int biospike_race_continuous(const Job* job, int) { return each_row(*job, race_without_grid); }
int biospike_block(const BlockJob* job, int nearly) {
    return job->rows == RACE ? run_block<RACE>(*job, nearly)
           : job->rows == DIVIDED ? run_block<DIVIDED>(*job, nearly)
                                  : run_block<PINNED>(*job, nearly);
}
int biospike_layer(const LayerJob* job) {
    return job->neuron == HARD   ? run_layer<HARD>(*job)
           : job->neuron == SOFT ? run_layer<SOFT>(*job)
                                 : run_layer<NONE>(*job);
}
// The exponential of the blocks, of eight numbers and eight more, to be held against another.
void biospike_nearly_exp(const double* x, double* to, int64_t eights) {
    for (int64_t k = 0; k < 8 * eights; k += 8) store8(to + k, nearly_exp8(load8<Reals8>(x + k)));
}
int biospike_pinned_continuous(const Job* job, int) { return each_row(*job, escape_without_grid); }
}
