/* What the parts of the stand-in share. Knows no operator: those are Python, reached through call.c. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Return codes of the real runtime (rt_error_codes.h, acl_base_rt.h), so that torch_npu reacts as it does there. */
enum {
    OK = 0,
    INVALID = 107000,           /* parameter invalid */
    NO_CONTEXT = 107002,        /* no device was set in this thread */
    UNSUPPORTED = 561003,       /* aclnn: no such kernel. Never 207000, "feature not supported": torch_npu warns of that and goes on */
    OUT_OF_MEMORY = 207001,     /* the only code that becomes torch.OutOfMemoryError */
    BAD_SIGNATURE = 161001,     /* aclnn: parameter is null or of the wrong kind */
    FAILED = 561000,            /* aclnn: inner error */
};

/* handles.c: what torch_npu makes with aclCreate... and hands to operators. All live in one slab, so that a value can be told from a handle. */
enum { MOST_DIMS = 16 };
typedef enum { TENSOR = 1, TENSORS, SCALAR, SCALARS, INTS, BOOLS, FLOATS, EXECUTOR, DESCRIPTION, BUFFER, ATTRIBUTES } Kind;
typedef struct Handle {
    Kind kind;
    int32_t dtype, format;
    int64_t ndim, size, offset;   /* size: elements of a list or array, bytes of a buffer, index of an executor's operator */
    int64_t dims[MOST_DIMS], strides[MOST_DIMS];
    void *data;                   /* memory of a tensor or buffer; elements of a list or array; arguments of an executor */
    _Alignas(16) char value[16];  /* of a scalar */
} Handle;
Handle *new_handle(Kind kind);
Handle *as_handle(uint64_t word, Kind kind); /* NULL if the word is no living handle of that kind */
void free_handle(Handle *handle);
int64_t dtype_bytes(int32_t dtype);          /* 0 if a tensor cannot have it */
int dtype_dlpack(int32_t dtype);             /* DLPack code << 8 | bits; -1 if there is none */

/* memory.c: devices, their memory, and who wrote it last. */
typedef enum { NOBODY, COPY, OPERATOR, COLLECTIVE } Writer;
int device_count(void);
int current_device(void);                    /* -1 if this thread has set none */
int device_of(const void *address);          /* -1 if it is no device memory */
int living(const void *address, size_t bytes);
void written(const void *address, size_t bytes, Writer writer);
long long setting(const char *name, long long otherwise);
int set_device(int device);
extern struct Statistics {
    long long operators, collectives, copies_in, copies_out, copies_out_of_operators, copies_out_of_copies, copies_out_unwritten;
} statistics;

/* stream.c */
int stream_device(const void *stream);

/* rearranging.c */
int rearranges(const char *type);            /* whether it is a graph operator that copies */
int rearrange(const char *type, int inputs, const Handle *const from[], const Handle *const in[], int outputs, const Handle *const to[],
              Handle *const out[], const Handle *attributes);

/* waiting.c */
int wait_without_lock(void);

/* failures.c */
int fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int failed_before(int device);               /* whether an operator failed in the queue's thread, and nobody has been told */
int report(int device, int reads);           /* its code and message for who waits, or reads; OK if there is none */
int skips(int device);                       /* the same; a failure that has been told is over */
int kept(int device, int code);              /* the code, or OK in the queue's thread, where the failure waits for who waits */
int in_queue(void);                          /* whether this is the thread that runs torch_npu's queue */
char *last_message(void);                    /* of this thread; to be read, or emptied */

/* call.c */
void refuse(const char *name);
int start_python(void);                      /* loads the operators once; not 0 if that failed, and the message says why */
