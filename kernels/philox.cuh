// Random words, the same on every backend; see convnet/ops/philox.py.

#pragma once

typedef unsigned int Word;

struct Words {
    Word of[4];
};

// What a draw depends on, see RandomKey in convnet/ops/roles.py, each modulo 2^32. It changes from
// step to step, so kernels read it from memory.
struct Key {
    Word seed, stream, epoch, batch, minibatch;
};

__device__ inline Key key_at(const Word* words) {
    return Key{words[0], words[1], words[2], words[3], words[4]};
}

// The words of elements 4 * block .. 4 * block + 3 of a draw.
__device__ inline Words philox(Word block, Key key) {
    Word c0 = block, c1 = key.minibatch, c2 = key.batch, c3 = key.epoch;
    Word k0 = key.seed, k1 = key.stream;
    for (int round = 0; round < 10; ++round) {
        const unsigned long long product0 = 0xD2511F53ull * c0, product1 = 0xCD9E8D57ull * c2;
        c0 = static_cast<Word>(product1 >> 32) ^ c1 ^ k0;
        c1 = static_cast<Word>(product1);
        c2 = static_cast<Word>(product0 >> 32) ^ c3 ^ k1;
        c3 = static_cast<Word>(product0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

// Whether uniform(element) < keep, where threshold = ceil(keep * 2^24).
__device__ inline bool kept(unsigned long long element, Word threshold, Key key) {
    return philox(static_cast<Word>(element / 4), key).of[element % 4] >> 8 < threshold;
}

// The number in [0, 1) that a word stands for.
__device__ inline float uniform(Word word) { return (word >> 8) * (1.0f / (1 << 24)); }
