/* Between the generated stubs and call.c. */
#pragma once
#include "cann.h"
#include <stdarg.h>

#if defined __x86_64__ /* System V: six integer and eight vector registers, then eight bytes of stack each */
enum { INTEGER_REGISTERS = 6, FLOAT_REGISTERS = 8 };
#define REGISTERS uint64_t i0, uint64_t i1, uint64_t i2, uint64_t i3, uint64_t i4, uint64_t i5, \
                  double f0, double f1, double f2, double f3, double f4, double f5, double f6, double f7
#define INTEGERS {i0, i1, i2, i3, i4, i5}
#elif defined __aarch64__ /* AAPCS64 on Linux: eight and eight, then eight bytes of stack each */
enum { INTEGER_REGISTERS = 8, FLOAT_REGISTERS = 8 };
#define REGISTERS uint64_t i0, uint64_t i1, uint64_t i2, uint64_t i3, uint64_t i4, uint64_t i5, uint64_t i6, uint64_t i7, \
                  double f0, double f1, double f2, double f3, double f4, double f5, double f6, double f7
#define INTEGERS {i0, i1, i2, i3, i4, i5, i6, i7}
#else
#error "the emulator knows the calling conventions of x86-64 and aarch64 on Linux only"
#endif

/* All registers are named, so what `...` stands for is what the caller put on the stack. */
typedef struct {
    uint64_t integers[INTEGER_REGISTERS];
    union { double given[FLOAT_REGISTERS]; uint64_t floats[FLOAT_REGISTERS]; };
    va_list stack;
} Frame;
#define FRAME Frame frame = {.integers = INTEGERS, .given = {f0, f1, f2, f3, f4, f5, f6, f7}}; va_start(frame.stack, f7)

extern const char *const assay_names[];
extern const int assay_name_count;
int assay_capture(int index, Frame *frame);
int assay_execute(int index, void *executor, void *stream);
int assay_now(int index, Frame *frame);
int assay_call(int index, const uint64_t *words, int device);

#define OPERATOR(index, name) \
    int name##GetWorkspaceSize(REGISTERS, ...) { \
        FRAME; \
        int code = assay_capture(index, &frame); \
        va_end(frame.stack); \
        return code; \
    } \
    int name(void *workspace, uint64_t size, void *executor, void *stream) { \
        (void)workspace, (void)size; \
        return assay_execute(index, executor, stream); \
    }
#define IMMEDIATE(index, name) \
    int name(REGISTERS, ...) { \
        FRAME; \
        int code = assay_now(index, &frame); \
        va_end(frame.stack); \
        return code; \
    }
#define REFUSED(name) int name(void) { return fail(UNSUPPORTED, #name " is not emulated"); }
