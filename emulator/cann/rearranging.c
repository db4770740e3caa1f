/* The graph operators that torch_npu copies a tensor with which is not contiguous, from one device to another: elements move, nothing is computed.
 *
 * Within a device aclnn operators do this; between two, torch_npu still goes the old way: Slice, StridedSlice or AsStrided read the source
 * into a contiguous target on the other device, ViewCopy writes any target. Definitions: CANN's operator prototypes (selection_ops.h). */
#include "cann.h"
#include <string.h>

typedef struct { int64_t ndim, sizes[MOST_DIMS], strides[MOST_DIMS]; char *data; } View; /* strides in elements */

/* Read a constant input: sizes, offsets or a single number, int64 or int32 in the host's memory. Gives how many there are, -1 if it is none. */
static int64_t numbers(const Handle *description, const Handle *buffer, int64_t *values) {
    int64_t count = 1;
    for (int64_t i = 0; i < description->ndim; i++) count *= description->dims[i];
    int64_t bytes = dtype_bytes(description->dtype);
    if ((description->dtype != 9 && description->dtype != 3) || count < 0 || count > MOST_DIMS || !buffer->data || buffer->size < count * bytes) return -1;
    for (int64_t i = 0; i < count; i++) values[i] = bytes == 8 ? ((const int64_t *)buffer->data)[i] : ((const int32_t *)buffer->data)[i];
    return count;
}

static void contiguous(View *view) {
    for (int64_t i = view->ndim - 1, step = 1; i >= 0; step *= view->sizes[i--]) view->strides[i] = step;
}

/* Bytes from the view's first element to the end of its last; -1 if it steps backwards. */
static int64_t extent(const View *view, int64_t item) {
    int64_t last = 0;
    for (int64_t i = 0; i < view->ndim; i++) {
        if (view->sizes[i] < 0 || view->strides[i] < 0) return -1;
        if (!view->sizes[i]) return 0;
        last += (view->sizes[i] - 1) * view->strides[i];
    }
    return (last + 1) * item;
}

static void move(const View *to, const View *from, int64_t dim, char *target, const char *source, int64_t item) {
    if (dim == to->ndim) { memcpy(target, source, (size_t)item); return; }
    if (dim == to->ndim - 1 && to->strides[dim] == 1 && from->strides[dim] == 1) { memmove(target, source, (size_t)(to->sizes[dim] * item)); return; }
    for (int64_t i = 0; i < to->sizes[dim]; i++)
        move(to, from, dim + 1, target + i * to->strides[dim] * item, source + i * from->strides[dim] * item, item);
}

/* What Slice and StridedSlice read: `begin`, `sizes` and `step` a dimension. */
static int part(View *view, const Handle *whole, const int64_t *begin, const int64_t *step, int64_t item) {
    View all = {.ndim = whole->ndim};
    memcpy(all.sizes, whole->dims, sizeof all.sizes);
    contiguous(&all);
    for (int64_t i = 0; i < view->ndim; i++) {
        if (begin[i] < 0 || step[i] < 1 || view->sizes[i] < 0 || (view->sizes[i] && begin[i] + (view->sizes[i] - 1) * step[i] >= whole->dims[i])) return 0;
        view->data += begin[i] * all.strides[i] * item;
        view->strides[i] = all.strides[i] * step[i];
    }
    return 1;
}

/* Fill in the two views of an operator. Gives 0 if its inputs are not what is known of it. */
static int views(const char *type, int inputs, const Handle *const from[], const Handle *const in[], const Handle *attributes, View *source, View *target) {
    int64_t item = dtype_bytes(from[0]->dtype), begin[MOST_DIMS], end[MOST_DIMS], step[MOST_DIMS], offset[MOST_DIMS], order[MOST_DIMS];
    if (!item || (attributes && attributes->size)) return 0;
    source->data = in[0]->data;
    if (!strcmp(type, "Slice") && inputs == 3) {
        source->ndim = numbers(from[2], in[2], source->sizes);
        for (int i = 0; i < MOST_DIMS; i++) step[i] = 1;
        if (source->ndim != from[0]->ndim || numbers(from[1], in[1], begin) != source->ndim || !part(source, from[0], begin, step, item)) return 0;
    } else if (!strcmp(type, "StridedSlice") && inputs == 4) {
        source->ndim = numbers(from[1], in[1], begin);
        if (source->ndim != from[0]->ndim || numbers(from[2], in[2], end) != source->ndim || numbers(from[3], in[3], step) != source->ndim) return 0;
        for (int64_t i = 0; i < source->ndim; i++) {
            if (step[i] < 1 || end[i] < begin[i]) return 0;
            source->sizes[i] = (end[i] - begin[i] + step[i] - 1) / step[i];
        }
        if (!part(source, from[0], begin, step, item)) return 0;
    } else if (!strcmp(type, "AsStrided") && inputs == 4) {
        source->ndim = numbers(from[1], in[1], source->sizes);
        if (source->ndim < 0 || numbers(from[2], in[2], source->strides) != source->ndim || numbers(from[3], in[3], offset) != 1) return 0;
        source->data += offset[0] * item;
        if (offset[0] < 0 || offset[0] * item + extent(source, item) > in[0]->size) return 0;
    } else if (!strcmp(type, "Transpose") && inputs == 2) {
        View whole = {.ndim = from[0]->ndim};
        memcpy(whole.sizes, from[0]->dims, sizeof whole.sizes);
        contiguous(&whole);
        source->ndim = numbers(from[1], in[1], order);
        if (source->ndim != whole.ndim) return 0;
        for (int64_t i = 0; i < whole.ndim; i++) {
            if (order[i] < 0 || order[i] >= whole.ndim) return 0;
            source->sizes[i] = whole.sizes[order[i]], source->strides[i] = whole.strides[order[i]];
        }
    } else if (!strcmp(type, "ViewCopy") && inputs == 8) {
        target->ndim = numbers(from[1], in[1], target->sizes);
        if (target->ndim < 0 || numbers(from[2], in[2], target->strides) != target->ndim || numbers(from[3], in[3], offset) != 1) return 0;
        target->data += offset[0] * item;
        source->data = in[4]->data;
        source->ndim = numbers(from[5], in[5], source->sizes);
        if (source->ndim != target->ndim || numbers(from[6], in[6], source->strides) != source->ndim || numbers(from[7], in[7], offset) != 1) return 0;
        source->data += offset[0] * item;
        return from[4]->dtype == from[0]->dtype && !memcmp(source->sizes, target->sizes, (size_t)source->ndim * sizeof *source->sizes);
    } else {
        return 0;
    }
    target->ndim = source->ndim;
    memcpy(target->sizes, source->sizes, sizeof target->sizes);
    contiguous(target);
    return 1;
}

int rearranges(const char *type) {
    return !strcmp(type, "Slice") || !strcmp(type, "StridedSlice") || !strcmp(type, "AsStrided") || !strcmp(type, "Transpose") || !strcmp(type, "ViewCopy");
}

int rearrange(const char *type, int inputs, const Handle *const from[], const Handle *const in[], int outputs, const Handle *const to[],
              Handle *const out[], const Handle *attributes) {
    View source = {0}, target = {0};
    if (outputs == 1) target.data = out[0]->data;
    if (outputs != 1 || to[0]->dtype != from[0]->dtype || !views(type, inputs, from, in, attributes, &source, &target))
        return refuse(type), fail(UNSUPPORTED, "graph operator %s is emulated for copies only, and these inputs are none", type);
    int64_t item = dtype_bytes(from[0]->dtype), reads = extent(&source, item), writes = extent(&target, item);
    if (reads < 0 || writes < 0) return fail(INVALID, "graph operator %s: a stride is negative", type);
    if (!reads) return OK;
    if (!living(source.data, (size_t)reads) || !living(target.data, (size_t)writes))
        return fail(INVALID, "graph operator %s: reaches outside allocated device memory", type);
    move(&target, &source, 0, target.data, source.data, item);
    written(target.data, (size_t)writes, OPERATOR);
    __atomic_add_fetch(&statistics.operators, 1, __ATOMIC_RELAXED);
    return OK;
}
