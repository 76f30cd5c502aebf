// The kernels of biospike.fused, one function each; 0 if every variable stayed finite, else 1.

#include "job.h"
#include "charge.h"
#include "race.h"
#include "continuous.h"

extern "C" {
int biospike_pinned(const Job* job, int clocked) { return charge<Pinned>(*job, clocked); }
int biospike_divided(const Job* job, int clocked) { return charge<Divided>(*job, clocked); }
int biospike_race(const Job* job, int) { return race(*job); }
int biospike_race_continuous(const Job* job, int) { return each_row(*job, race_without_grid); }
int biospike_pinned_continuous(const Job* job, int) { return each_row(*job, escape_without_grid); }
}
