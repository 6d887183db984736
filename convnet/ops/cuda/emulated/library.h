// How the front end reaches the kernels of a file: included after the file.
#pragma once

namespace emulated {

// A parameter of a kernel: kind is '*' for pointers, else numpy's letter for the type; element is
// the letter for the numbers that it points to, or for itself.
struct Parameter { char kind, element; int alignment; };

template <class T> struct Kind;
template <> struct Kind<unsigned char> { static const char value = 'B'; };
template <> struct Kind<float> { static const char value = 'f'; };
template <> struct Kind<double> { static const char value = 'd'; };
template <> struct Kind<int> { static const char value = 'i'; };
template <> struct Kind<unsigned> { static const char value = 'I'; };
template <> struct Kind<long> { static const char value = 'l'; };
template <> struct Kind<unsigned long> { static const char value = 'L'; };
template <> struct Kind<long long> { static const char value = 'l'; };
template <> struct Kind<unsigned long long> { static const char value = 'L'; };
template <class T> struct Kind<T *> { static const char value = '*'; };

// The type of the numbers in T: T itself, or that of a vector's first.
template <class T> decltype(T::x) number(T, int);
template <class T> T number(T, long);

template <class T> struct Element { static const char value = Kind<T>::value; };
template <class T> struct Element<T *> {
    static const char value = Kind<decltype(number(T(), 0))>::value;
};

template <class T> struct Alignment { static const int value = alignof(T); };
template <class T> struct Alignment<T *> { static const int value = alignof(T); };

template <class... T> const Parameter *parameters(void (*)(T...)) {
    static const Parameter list[] = {
        {Kind<T>::value, Element<T>::value, Alignment<T>::value}..., {0, 0, 0}};
    return list;
}

// The largest block that __launch_bounds__(bound, ...) allows.
inline int first(int bound, int = 0, int = 0) { return bound; }

template <int... I> struct Numbers {};
template <int N, int... I> struct Count : Count<N - 1, N - 1, I...> {};
template <int... I> struct Count<0, I...> { using type = Numbers<I...>; };

template <class... T, int... I>
inline __attribute__((always_inline)) void call(void (*kernel)(T...), char *arguments,
                                                Numbers<I...>) {
    kernel(*(T *)(arguments + 8 * I)...);
}
template <class... T>
inline __attribute__((always_inline)) void call(void (*kernel)(T...), char *arguments) {
    call(kernel, arguments, typename Count<sizeof...(T)>::type());
}

}  // namespace emulated

#define EMULATED_KERNEL(name, bounds)                                                                \
    extern "C" const emulated::Parameter *emulated_parameters_##name() {                       \
        return emulated::parameters(name);                                                     \
    }                                                                                          \
    extern "C" int emulated_bound_##name() { return emulated::first bounds; }                  \
    extern "C" void emulated_call_##name(char *arguments) { emulated::call(name, arguments); }

// Made by the linker: where what it loads begins and ends, and where variables without a first
// value begin, of which the shared arrays of all kernels are the only ones.
extern "C" {
extern char __ehdr_start[] __attribute__((visibility("hidden")));
extern char __bss_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));

void emulated_ranges(emulated::Range *statics, emulated::Range *image) {
    *statics = {__bss_start, _end};
    *image = {__ehdr_start, _end};
}
void emulated_run(emulated::Launch *launch) { emulated::run(*launch); }
}
