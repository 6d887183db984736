// Random numbers: Philox4x32-10, the same bits as convnet/ops/philox.py.
// Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

#include "common.cuh"

struct Words {
    unsigned int word[4];
};

// What a draw depends on, see RandomKey in convnet/ops/roles.py, each modulo 2^32.
struct Key {
    unsigned int seed, stream, epoch, batch, minibatch;
};

// The words of elements 4 * block .. 4 * block + 3 of a draw.
__device__ inline Words philox(unsigned int block, Key key) {
    unsigned int c0 = block, c1 = key.minibatch, c2 = key.batch, c3 = key.epoch;
    unsigned int k0 = key.seed, k1 = key.stream;
    for (int round = 0; round < 10; ++round) {
        const unsigned long long product0 = 0xD2511F53ull * c0, product1 = 0xCD9E8D57ull * c2;
        const unsigned int next0 = static_cast<unsigned int>(product1 >> 32) ^ c1 ^ k0;
        const unsigned int next2 = static_cast<unsigned int>(product0 >> 32) ^ c3 ^ k1;
        c1 = static_cast<unsigned int>(product1);
        c3 = static_cast<unsigned int>(product0);
        c0 = next0;
        c2 = next2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

// acts = scale * inputs where word >> 8 < threshold, else 0. Flat arrays; in place.
// Launch `numbers` with a thread for four of them.
extern "C" __global__ void dropout(const float* inputs, unsigned int threshold, float scale,
                                   unsigned int seed, unsigned int stream, unsigned int epoch,
                                   unsigned int batch, unsigned int minibatch, float* acts, int add,
                                   int size) {
    const int block = this_number();
    const Words words = philox(block, Key{seed, stream, epoch, batch, minibatch});
    for (int j = 0; j < 4 && block * 4 + j < size; ++j) {
        const int i = block * 4 + j;
        store(&acts[i], words.word[j] >> 8 < threshold ? scale * inputs[i] : 0, add);
    }
}
