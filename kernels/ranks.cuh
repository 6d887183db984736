// The place of a label among the classes, where classes may tie.

#pragma once

#include "columns.cuh"

// How many numbers of a column are larger than `given`, and how many are equal; launch `columns`.
struct Rank {
    int better, ties;

    // From those among the rows of this thread.
    __device__ Rank(int better, int ties)
        : better(sum_over_column(better)), ties(sum_over_column(ties)) {}

    __device__ Rank(const float* values, float given, int n, int rows, int N) : better(0), ties(0) {
        for (EACH_ROW(k, rows)) {
            better += values[k * N + n] > given;
            ties += values[k * N + n] == given;
        }
        *this = Rank(better, ties);
    }

    // What it lacks of 1 of the first `places`, which are shared with those that are equal. All if
    // nothing is equal to it, not even itself: then it is a NaN.
    __device__ float share_lacking(int places) const {
        const int slots = places - better;
        return slots <= 0 || ties == 0 ? 1 : slots >= ties ? 0 : 1 - static_cast<float>(slots) / ties;
    }
};
