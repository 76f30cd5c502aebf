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

// How often each bit was set: in bytes, which are added to the whole counts before they are full.
struct Counter {
    Array<uint8_t> bytes;
    Array<int32_t> counts;
    int unread = 0;  // steps since then

    explicit Counter(int64_t words) : bytes(words * 64), counts(words * 64) {}

    void add(int64_t word, uint64_t bits) {
        uint8_t* to = bytes.data + word * 64;
#if defined(__AVX512BW__)
        const __m512i before = _mm512_load_si512(to);
        _mm512_store_si512(to, _mm512_mask_add_epi8(before, bits, before, _mm512_set1_epi8(1)));
#else
        // Lane k takes byte k of the word, eight times, and of each one bit.
        const uint64_t each = 0x0101010101010101;
        Words8 spread = words8(bits) >> 8 * line8() & words8(0xFF);
        spread = spread | spread << 8;
        spread = spread | spread << 16;
        spread = (spread | spread << 32) & words8(0x8040201008040201);
        store8((uint64_t*)to, load8<Words8>((uint64_t*)to) + ((spread + 0x7F * each) >> 7 & words8(each)));
#endif
    }

    void end_step() {
        if (++unread == 255) read();
    }

    void read() {
        for (size_t k = 0; k < counts.size; k++) counts[k] += bytes[k];
        std::fill(bytes.data, bytes.data + bytes.size, 0);
        unread = 0;
    }
};

}  // namespace
