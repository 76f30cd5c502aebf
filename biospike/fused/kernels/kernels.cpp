// The kernels of biospike.fused, one function each; 0 if every variable stayed finite, else 1.

#include "job.h"
#include "charge.h"
#include "race.h"

extern "C" {
int biospike_pinned(const Job* job, int clocked) { return charge<Pinned>(*job, clocked); }
int biospike_divided(const Job* job, int clocked) { return charge<Divided>(*job, clocked); }
int biospike_race(const Job* job, int) { return race(*job); }
}
