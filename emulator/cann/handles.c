/* Tensors, scalars, lists and arrays as torch_npu hands them to operators: descriptions only, they own no device memory. */
#include "cann.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CELLS = 1 << 17, CELL = 512 };
_Static_assert(sizeof(Handle) <= CELL, "a handle fits its cell");

static char *slab;
static Handle *unused;
static size_t fresh;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

Handle *new_handle(Kind kind) {
    pthread_mutex_lock(&lock);
    if (!slab) {
        slab = mmap(NULL, (size_t)CELLS * CELL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (slab == MAP_FAILED) abort();
    }
    Handle *handle = unused;
    if (handle) unused = handle->data;
    else if (fresh < CELLS) handle = (Handle *)(slab + CELL * fresh++);
    pthread_mutex_unlock(&lock);
    if (!handle) { fail(FAILED, "more than %d living tensor descriptions: torch_npu does not give them back", CELLS); return NULL; }
    memset(handle, 0, offsetof(Handle, dims));
    handle->kind = kind;
    handle->data = NULL;
    return handle;
}

Handle *as_handle(uint64_t word, Kind kind) {
    if (!slab || word < (uint64_t)slab || word >= (uint64_t)slab + (uint64_t)CELLS * CELL || (word - (uint64_t)slab) % CELL) return NULL;
    Handle *handle = (Handle *)word;
    return handle->kind == kind ? handle : NULL;
}

void free_handle(Handle *handle) {
    pthread_mutex_lock(&lock);
    handle->kind = 0;
    handle->data = unused;
    unused = handle;
    pthread_mutex_unlock(&lock);
}

/* aclDataType (acl_base_rt.h) -> DLPack type code and bits (dlpack.h). */
static const short dlpack[] = {
    [0] = 2 << 8 | 32, [1] = 2 << 8 | 16, [2] = 0 << 8 | 8, [3] = 0 << 8 | 32, [4] = 1 << 8 | 8, [6] = 0 << 8 | 16, [7] = 1 << 8 | 16,
    [8] = 1 << 8 | 32, [9] = 0 << 8 | 64, [10] = 1 << 8 | 64, [11] = 2 << 8 | 64, [12] = 6 << 8 | 8, [16] = 5 << 8 | 64, [17] = 5 << 8 | 128,
    [27] = 4 << 8 | 16, [33] = 5 << 8 | 32, [35] = 12 << 8 | 8, [36] = 10 << 8 | 8, [37] = 14 << 8 | 8,
    /* packed or opaque to PyTorch: bytes, which the operator reads by the type it is told */
    [29] = 1 << 8 | 8, [34] = 1 << 8 | 8, [40] = 1 << 8 | 8, [41] = 1 << 8 | 8,
};

int dtype_dlpack(int32_t dtype) {
    int known = dtype >= 0 && dtype < (int32_t)(sizeof dlpack / sizeof *dlpack) ? dlpack[dtype] : 0;
    return known ? known : -1;
}

int64_t dtype_bytes(int32_t dtype) { return dtype_dlpack(dtype) < 0 ? 0 : (dtype_dlpack(dtype) & 0xff) / 8; }

/* Of types of four bits torch_npu counts the elements of what is a tensor of bytes, two in each; the bytes are what it stays here. */
static void in_bytes(Handle *it) {
    if (it->dtype != 29 && it->dtype != 40 && it->dtype != 41) return;
    int64_t pairs = it->ndim > 1 && it->strides[it->ndim - 1] != 1 ? it->ndim - 2 : it->ndim - 1;
    for (int64_t i = 0; i < it->ndim; i++) if (i == pairs) it->dims[i] /= 2; else it->strides[i] /= 2;
}

/* aclnn's own constructors; shapes and strides in elements. */
Handle *aclCreateTensor(const int64_t *dims, uint64_t ndim, int32_t dtype, const int64_t *strides, int64_t offset, int32_t format,
                        const int64_t *storage_dims, uint64_t storage_ndim, void *data) {
    (void)storage_dims, (void)storage_ndim;
    if (ndim > MOST_DIMS) { fail(BAD_SIGNATURE, "a tensor of %llu dimensions; at most %d", (unsigned long long)ndim, MOST_DIMS); return NULL; }
    Handle *handle = new_handle(TENSOR);
    if (!handle) return NULL;
    handle->dtype = dtype, handle->format = format, handle->ndim = (int64_t)ndim, handle->offset = offset, handle->data = data;
    memcpy(handle->dims, dims, ndim * sizeof *dims);
    if (strides) memcpy(handle->strides, strides, ndim * sizeof *strides);
    else for (int64_t i = (int64_t)ndim - 1, step = 1; i >= 0; step *= dims[i--]) handle->strides[i] = step;
    in_bytes(handle);
    return handle;
}

Handle *aclCreateScalar(const void *value, int32_t dtype) {
    Handle *handle = new_handle(SCALAR);
    if (handle) handle->dtype = dtype, memcpy(handle->value, value, (size_t)dtype_bytes(dtype));
    return handle;
}

static Handle *array(Kind kind, const void *elements, uint64_t count, size_t bytes) {
    Handle *handle = new_handle(kind);
    if (!handle) return NULL;
    handle->size = (int64_t)count;
    handle->data = malloc(count * bytes + 1);
    memcpy(handle->data, elements ? elements : "", elements ? count * bytes : 0);
    return handle;
}

Handle *aclCreateTensorList(Handle *const *elements, uint64_t count) { return array(TENSORS, elements, count, sizeof *elements); }
Handle *aclCreateScalarList(Handle *const *elements, uint64_t count) { return array(SCALARS, elements, count, sizeof *elements); }
Handle *aclCreateIntArray(const int64_t *elements, uint64_t count) { return array(INTS, elements, count, sizeof *elements); }
Handle *aclCreateFloatArray(const float *elements, uint64_t count) { return array(FLOATS, elements, count, sizeof *elements); }
Handle *aclCreateBoolArray(const _Bool *elements, uint64_t count) { return array(BOOLS, elements, count, sizeof *elements); }

static int destroy(const Handle *given, Kind kind) {
    Handle *handle = as_handle((uint64_t)given, kind);
    if (!handle) return given ? fail(INVALID, "a handle was destroyed that is none, or twice") : OK;
    if (kind == TENSORS || kind == SCALARS) /* a list owns what it lists */
        for (int64_t i = 0; i < handle->size; i++) destroy(((Handle **)handle->data)[i], kind == TENSORS ? TENSOR : SCALAR);
    if (kind != TENSOR && kind != SCALAR) free(handle->data);
    free_handle(handle);
    return OK;
}

int aclDestroyTensor(const Handle *handle) { return destroy(handle, TENSOR); }
int aclDestroyScalar(const Handle *handle) { return destroy(handle, SCALAR); }
int aclDestroyTensorList(const Handle *handle) { return destroy(handle, TENSORS); }
int aclDestroyScalarList(const Handle *handle) { return destroy(handle, SCALARS); }
int aclDestroyIntArray(const Handle *handle) { return destroy(handle, INTS); }
int aclDestroyFloatArray(const Handle *handle) { return destroy(handle, FLOATS); }
int aclDestroyBoolArray(const Handle *handle) { return destroy(handle, BOOLS); }

int aclGetViewShape(const Handle *tensor, int64_t **dims, uint64_t *ndim) {
    Handle *handle = as_handle((uint64_t)tensor, TENSOR);
    if (!handle) return fail(INVALID, "aclGetViewShape: no tensor");
    *ndim = (uint64_t)handle->ndim;
    *dims = malloc(sizeof(int64_t) * (size_t)(handle->ndim + 1));
    memcpy(*dims, handle->dims, sizeof(int64_t) * (size_t)handle->ndim);
    return OK;
}
