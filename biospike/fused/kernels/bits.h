// Spikes of a step as bits: one after another in words of 64, with room to read a word beyond the last.

namespace {

inline int64_t words_of(int64_t bits) { return (bits + 63) / 64; }

// Memory for vectors: every array starts at a line of the cache.
template <class T>
struct Array {
    T* data;
    size_t size;
    explicit Array(size_t count, T value = T()) : data(nullptr), size(count) {
        void* place = nullptr;
        if (posix_memalign(&place, 64, std::max<size_t>(count, 1) * sizeof(T)) != 0) throw std::bad_alloc();
        data = (T*)place;
        std::fill(data, data + count, value);
    }
    ~Array() { std::free(data); }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    T& operator[](size_t k) { return data[k]; }
    const T& operator[](size_t k) const { return data[k]; }
};

// Up to 64 bits from any place.
inline uint64_t bits_at(const uint64_t* from, int64_t start, int64_t count) {
    const int64_t word = start / 64, shift = start % 64;
    uint64_t found = from[word] >> shift;
    if (shift) found |= from[word + 1] << (64 - shift);
    return count < 64 ? found & (((uint64_t)1 << count) - 1) : found;
}

// Set bits at a place where all are 0.
inline void put_bits(uint64_t* to, int64_t start, int64_t count, const uint64_t* from, int64_t from_start) {
    for (int64_t done = 0; done < count; done += 64) {
        const int64_t some = std::min<int64_t>(64, count - done), at = start + done;
        const uint64_t found = bits_at(from, from_start + done, some);
        to[at / 64] |= found << (at % 64);
        if (at % 64 && at % 64 + some > 64) to[at / 64 + 1] |= found >> (64 - at % 64);
    }
}

// How often each bit was set: plane p of a word holds bit p of its 64 counts.
struct Counter {
    enum { PLANES = 31 };
    int64_t words;
    Array<uint64_t> planes;

    explicit Counter(int64_t count) : words(count), planes(count * PLANES) {}

    void add(int64_t word, uint64_t bits) {
        for (uint64_t* plane = &planes[word]; bits; plane += words) {
            const uint64_t carry = *plane & bits;
            *plane ^= bits;
            bits = carry;
        }
    }

    // The 64 counts of a word, none of which exceeds `most`.
    void read(int64_t word, int64_t most, int32_t* counts) const {
        std::fill(counts, counts + 64, 0);
        for (int plane = 0; plane < PLANES && most >> plane; plane++)
            for (int k = 0; k < 64; k++) counts[k] |= (int32_t)(planes[plane * words + word] >> k & 1) << plane;
    }
};

}  // namespace
