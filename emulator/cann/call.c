/* The way from a C call of torch_npu to a Python function, and back: any signature, by the platform's calling convention.
 *
 * Every exported operator is a stub (generated) that hands over its registers and the place of its stack arguments. What they mean
 * says the signature that Python registered, a letter a parameter:
 *   t tensor  T tensor list  o output tensor  O output tensor list  s scalar  S scalar list  I B F array of int64, bool, float
 *   i int64   w int32        c int8   b bool   d double              f float   z string       p address
 * No Python headers are needed: the few functions used belong to the stable ABI and are declared here. */
#include "call.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Object Object; /* PyObject */
extern Object _Py_NoneStruct;
int Py_IsInitialized(void);
int PyGILState_Ensure(void);
void PyGILState_Release(int);
void *PyGILState_GetThisThreadState(void);
void *PyEval_SaveThread(void);
void Py_IncRef(Object *);
void Py_DecRef(Object *);
Object *PyTuple_New(long);
int PyTuple_SetItem(Object *, long, Object *);
Object *PyList_New(long);
int PyList_SetItem(Object *, long, Object *);
Object *PyLong_FromLongLong(long long);
Object *PyLong_FromUnsignedLongLong(unsigned long long);
long long PyLong_AsLongLong(Object *);
Object *PyFloat_FromDouble(double);
Object *PyBool_FromLong(long);
Object *PyComplex_FromDoubles(double, double);
Object *PyUnicode_FromString(const char *);
const char *PyUnicode_AsUTF8AndSize(Object *, long *);
Object *PyCapsule_New(void *, const char *, void (*)(Object *));
void *PyCapsule_GetPointer(Object *, const char *);
int PyCapsule_IsValid(Object *, const char *);
Object *PyObject_CallObject(Object *, Object *);
Object *PyObject_CallFunctionObjArgs(Object *, ...);
Object *PyImport_ImportModule(const char *);
Object *PyObject_GetAttrString(Object *, const char *);
int Py_IsFinalizing(void) __attribute__((weak));  /* since Python 3.13 */
int _Py_IsFinalizing(void) __attribute__((weak)); /* before */
void PyErr_Print(void);
void PyErr_Clear(void);

/* What Python registered, by the index of the generated table of names. */
typedef struct { char *signature; Object *function; } Operation;
static Operation *operations;
static Object *from_dlpack;

void assay_register(const char *name, const char *signature, Object *function) {
    for (int i = 0; i < assay_name_count; i++)
        if (!strcmp(assay_names[i], name)) {
            Py_IncRef(function);
            operations[i] = (Operation){strdup(signature), function};
        }
}

/* For tests: be without an operator. */
void assay_forget(const char *name) {
    for (int i = 0; i < assay_name_count; i++)
        if (!strcmp(assay_names[i], name)) operations[i].function = NULL;
}

int start_python(void) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int started;
    if (started) return OK;
    if (!Py_IsInitialized()) return fail(FAILED, "there is no Python in this process, and the operators are Python");
    int state = PyGILState_Ensure();
    pthread_mutex_lock(&lock);
    int code = OK;
    if (!started) {
        operations = calloc((size_t)assay_name_count, sizeof *operations);
        Object *bridge = PyImport_ImportModule("emulator.bridge");
        Object *install = bridge ? PyObject_GetAttrString(bridge, "install") : NULL;
        from_dlpack = install ? PyObject_CallFunctionObjArgs(install, NULL) : NULL; /* it returns PyTorch's own converter */
        started = from_dlpack != NULL;
        if (!started) {
            PyErr_Print();
            code = fail(FAILED, "the operators do not load; the reason is above. Is the emulator's folder still where it was built?");
        }
    }
    pthread_mutex_unlock(&lock);
    PyGILState_Release(state);
    return code;
}

/* A tensor that shares the device memory, as DLPack (dlpack.h) describes it. */
typedef struct Managed {
    void *data;
    int32_t device_type, device_id, ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
    void *context;
    void (*deleter)(struct Managed *);
    int64_t dims[2 * MOST_DIMS];
} Managed;

static void discard(Managed *managed) { free(managed); }
static void discard_capsule(Object *capsule) {
    if (PyCapsule_IsValid(capsule, "dltensor")) discard(PyCapsule_GetPointer(capsule, "dltensor"));
}

static Object *capsule_of(void *data, int32_t dtype, int64_t ndim, const int64_t *dims, const int64_t *strides) {
    int type = dtype_dlpack(dtype);
    if (type < 0) { fail(UNSUPPORTED, "no tensor can have data type %d", dtype); return NULL; }
    Managed *it = malloc(sizeof *it);
    *it = (Managed){.data = data, .device_type = 1, .ndim = (int32_t)ndim, .code = (uint8_t)(type >> 8), .bits = (uint8_t)type, .lanes = 1,
                    .deleter = discard};
    it->shape = it->dims, it->strides = it->dims + MOST_DIMS;
    memcpy(it->shape, dims, (size_t)ndim * 8);
    memcpy(it->strides, strides, (size_t)ndim * 8);
    return PyCapsule_New(it, "dltensor", discard_capsule);
}

/* First byte and extent of what a tensor can touch; 0 bytes if it is empty. */
static size_t extent(const Handle *tensor, char **begin) {
    int64_t last = 0, bytes = dtype_bytes(tensor->dtype);
    *begin = (char *)tensor->data + tensor->offset * bytes;
    for (int64_t i = 0; i < tensor->ndim; i++) {
        if (!tensor->dims[i]) return 0;
        last += (tensor->dims[i] - 1) * tensor->strides[i];
    }
    return (size_t)((last + 1) * bytes);
}

static Object *tensor_object(const Handle *tensor, int device) {
    char *begin;
    size_t bytes = extent(tensor, &begin);
    if (bytes) {
        int owner = device_of(begin);
        if (owner < 0) { fail(FAILED, "was given host memory (%p)", (void *)begin); return NULL; }
        if (owner != device) { fail(FAILED, "runs on device %d and was given memory of device %d", device, owner); return NULL; }
        if (!living(begin, bytes)) { fail(FAILED, "reaches outside allocated memory"); return NULL; }
    }
    Object *capsule = capsule_of(begin, tensor->dtype, tensor->ndim, tensor->dims, tensor->strides);
    if (!capsule) return NULL;
    Object *object = PyObject_CallFunctionObjArgs(from_dlpack, capsule, NULL);
    Py_DecRef(capsule);
    return object;
}

static float half(uint16_t h) {
    int exponent = h >> 10 & 31, sign = h >> 15;
    float value = exponent == 31 ? ((h & 1023) ? NAN : INFINITY) : exponent ? ldexpf((float)((h & 1023) | 1024), exponent - 25) : ldexpf((float)(h & 1023), -24);
    return sign ? -value : value;
}

static Object *scalar_object(const Handle *it) {
    const void *v = it->value;
    uint32_t widened;
    float single;
    switch (it->dtype) {
    case 0: return PyFloat_FromDouble(*(const float *)v);
    case 1: return PyFloat_FromDouble(half(*(const uint16_t *)v));
    case 2: return PyLong_FromLongLong(*(const int8_t *)v);
    case 3: return PyLong_FromLongLong(*(const int32_t *)v);
    case 4: return PyLong_FromLongLong(*(const uint8_t *)v);
    case 6: return PyLong_FromLongLong(*(const int16_t *)v);
    case 7: return PyLong_FromLongLong(*(const uint16_t *)v);
    case 8: return PyLong_FromLongLong(*(const uint32_t *)v);
    case 9: return PyLong_FromLongLong(*(const int64_t *)v);
    case 10: return PyLong_FromUnsignedLongLong(*(const uint64_t *)v);
    case 11: return PyFloat_FromDouble(*(const double *)v);
    case 12: return PyBool_FromLong(*(const uint8_t *)v);
    case 16: return PyComplex_FromDoubles(((const float *)v)[0], ((const float *)v)[1]);
    case 17: return PyComplex_FromDoubles(((const double *)v)[0], ((const double *)v)[1]);
    case 27:
        widened = (uint32_t) * (const uint16_t *)v << 16;
        memcpy(&single, &widened, 4);
        return PyFloat_FromDouble(single);
    default: fail(UNSUPPORTED, "a scalar of data type %d", it->dtype); return NULL;
    }
}

static Object *none(void) {
    Py_IncRef(&_Py_NoneStruct);
    return &_Py_NoneStruct;
}

static Object *list_object(const Handle *list, int device) {
    Object *items = PyList_New((long)list->size);
    for (long i = 0; i < list->size; i++) {
        const Handle *one = ((Handle **)list->data)[i];
        Object *item = !one ? none() : list->kind == TENSORS ? tensor_object(one, device) : scalar_object(one);
        if (!item) { Py_DecRef(items); return NULL; }
        PyList_SetItem(items, i, item);
    }
    return items;
}

static Object *array_object(const Handle *array) {
    Object *items = PyTuple_New((long)array->size);
    for (long i = 0; i < array->size; i++)
        PyTuple_SetItem(items, i, array->kind == INTS    ? PyLong_FromLongLong(((int64_t *)array->data)[i])
                                  : array->kind == BOOLS ? PyBool_FromLong(((_Bool *)array->data)[i])
                                                         : PyFloat_FromDouble(((float *)array->data)[i]));
    return items;
}

static Kind kind_of(char letter) {
    switch (letter) {
    case 't': case 'o': return TENSOR;
    case 'T': case 'O': return TENSORS;
    case 's': return SCALAR;
    case 'S': return SCALARS;
    case 'I': return INTS;
    case 'B': return BOOLS;
    case 'F': return FLOATS;
    default: return 0;
    }
}

/* The shortest decimal that rounds to this float: AdamW's 0.9 passes through a C float, and 1 - 0.9f would be 4 units in the last place off.
 * What a real kernel makes of it is not known; so the operator gets what the user wrote. */
static double written_as(float value) {
    char text[32];
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) return strtod(text, NULL);
    }
    return value;
}

static Object *object_of(char letter, uint64_t word, int device) {
    Kind kind = kind_of(letter);
    if (kind) {
        Handle *it = (Handle *)word;
        if (!it) return none();
        return kind == TENSOR ? tensor_object(it, device) : kind == SCALAR ? scalar_object(it)
             : kind == TENSORS || kind == SCALARS ? list_object(it, device) : array_object(it);
    }
    double d;
    float f;
    switch (letter) {
    case 'i': return PyLong_FromLongLong((int64_t)word);
    case 'w': return PyLong_FromLongLong((int32_t)word);
    case 'c': return PyLong_FromLongLong((int8_t)word);
    case 'b': return PyBool_FromLong((uint8_t)word);
    case 'd': memcpy(&d, &word, 8); return PyFloat_FromDouble(d);
    case 'f': memcpy(&f, &word, 4); return PyFloat_FromDouble(written_as(f));
    case 'z': return word ? PyUnicode_FromString((const char *)word) : none();
    default: return PyLong_FromUnsignedLongLong(word);
    }
}

/* The next argument, by the platform's convention: registers of its class while there are any, then the stack. */
typedef struct { Frame *frame; int integers, floats; } Cursor;
static uint64_t next(Cursor *at, char letter) {
    if (letter == 'd' || letter == 'f') {
        if (at->floats < FLOAT_REGISTERS) return at->frame->floats[at->floats++];
    } else if (at->integers < INTEGER_REGISTERS) return at->frame->integers[at->integers++];
    return va_arg(at->frame->stack, uint64_t);
}

static int near(const void *address, const void *frame) {
    intptr_t distance = (intptr_t)address - (intptr_t)frame;
    return distance > -(1 << 20) && distance < 1 << 20;
}

/* Which operators were asked for and are not here, for tests that must not miss one whose error somebody swallowed. */
static const char *refused_names[256];
static int refused_count;
void refuse(const char *name) {
    for (int i = 0; i < refused_count; i++)
        if (!strcmp(refused_names[i], name)) return;
    if (refused_count < 256) refused_names[refused_count++] = strdup(name);
}
const char *assay_refused(int at) { return at < refused_count ? refused_names[at] : NULL; }

/* First phase, aclnnXGetWorkspaceSize: keep the arguments. Nothing is computed, no workspace is asked for. */
static int capture(int index, Frame *frame) {
    const Operation *operation = operations ? &operations[index] : NULL;
    const char *name = assay_names[index];
    if (!operation || !operation->function) return refuse(name), fail(UNSUPPORTED, "operator %s is not emulated (python -m emulator --list shows what is)", name);
    size_t count = strlen(operation->signature);
    uint64_t *words = malloc((count + 1) * sizeof *words);
    Cursor at = {frame, 0, 0};
    for (size_t i = 0; i < count; i++) {
        words[i] = next(&at, operation->signature[i]);
        Kind kind = kind_of(operation->signature[i]);
        if (kind && words[i] && !as_handle(words[i], kind)) {
            free(words);
            return fail(BAD_SIGNATURE, "operator %s: parameter %zu is not what the emulator declares (%s)", name, i, operation->signature);
        }
    }
    uint64_t *size = (uint64_t *)next(&at, 'p');
    Handle **executor = (Handle **)next(&at, 'p');
    if (!near(size, frame) || !near(executor, frame)) {
        free(words);
        return fail(BAD_SIGNATURE, "operator %s: is called with other parameters than the emulator declares (%s)", name, operation->signature);
    }
    Handle *handle = new_handle(EXECUTOR);
    if (!handle) { free(words); return FAILED; }
    for (size_t i = 0; i < count; i++) /* a caller's string ends with the first phase: torch_npu passes the address of a local one */
        if (operation->signature[i] == 'z' && words[i]) words[i] = (uint64_t)strdup((const char *)words[i]);
    handle->size = index, handle->data = words;
    *size = 0, *executor = handle;
    return OK;
}

static void forget(Handle *handle) {
    uint64_t *words = handle->data;
    const char *signature = operations[handle->size].signature;
    for (size_t i = 0; signature[i]; i++)
        if (signature[i] == 'z') free((void *)words[i]);
    free(words);
    free_handle(handle);
}

/* Some callers look at the result of the second phase only: what the first refused, the second refuses in the same words. */
static __thread int refused_index = -1, refused_code;
int assay_capture(int index, Frame *frame) {
    int code = capture(index, frame);
    refused_index = code ? index : -1;
    if (code && in_queue()) code = kept(current_device(), code); /* launch mode 2 has both phases there */
    refused_code = code;
    return code;
}

/* Second phase, aclnnX: compute. */
int assay_execute(int index, void *executor, void *stream) {
    Handle *handle = as_handle((uint64_t)executor, EXECUTOR);
    const char *name = assay_names[index];
    if (!handle && refused_index == index) return refused_code;
    if (!handle || handle->size != index) return fail(INVALID, "operator %s: was given no executor of its own", name);
    uint64_t *words = handle->data;
    int device = stream_device(stream);
    int skipped = skips(device);
    int code = skipped ? OK : assay_call(index, words, device);
    const char *signature = operations[index].signature;
    for (size_t i = 0; !code && !skipped && signature[i]; i++) {
        Handle *it = (Handle *)words[i];
        if (!it || (signature[i] != 'o' && signature[i] != 'O')) continue;
        long count = signature[i] == 'O' ? (long)it->size : 1;
        for (long j = 0; j < count; j++) {
            Handle *one = signature[i] == 'O' ? ((Handle **)it->data)[j] : it;
            char *begin;
            size_t bytes = one ? extent(one, &begin) : 0;
            if (bytes) written(begin, bytes, OPERATOR);
        }
    }
    __atomic_add_fetch(&statistics.operators, !code && !skipped, __ATOMIC_RELAXED);
    forget(handle);
    return kept(device, code);
}
int aclDestroyAclOpExecutor(void *executor) {
    Handle *handle = as_handle((uint64_t)executor, EXECUTOR);
    if (handle) forget(handle);
    return OK;
}

/* A function that is called at once, without phases: collectives. */
int assay_now(int index, Frame *frame) {
    int code = start_python();
    const Operation *operation = code ? NULL : &operations[index];
    if (code) return code;
    if (!operation->function) return fail(UNSUPPORTED, "%s is not emulated", assay_names[index]);
    uint64_t words[32];
    Cursor at = {frame, 0, 0};
    for (size_t i = 0; operation->signature[i]; i++) words[i] = next(&at, operation->signature[i]);
    int device = current_device();
    if (skips(device)) /* in the queue's thread an error would end the queue, and all after it would go on in silence */
        return in_queue() ? OK : report(device, 0);
    code = assay_call(index, words, device);
    __atomic_add_fetch(&statistics.collectives, !code, __ATOMIC_RELAXED);
    return kept(device, code);
}

static int finalizing(void) {
    return !Py_IsInitialized() || (Py_IsFinalizing ? Py_IsFinalizing() : _Py_IsFinalizing ? _Py_IsFinalizing() : 0);
}

/* For Python: the running operator gives its output `place` another shape than the caller's, who asks for it (aclGetViewShape). */
static __thread const uint64_t *running;
void assay_reshape(int place, int ndim, const int64_t *dims) {
    Handle *it = (Handle *)running[place];
    it->ndim = ndim;
    for (int64_t i = ndim - 1, step = 1; i >= 0; step *= dims[i--]) it->dims[i] = dims[i], it->strides[i] = step;
}

/* Call the function of an operation. It returns None, or the text of an error. */
int assay_call(int index, const uint64_t *words, int device) {
    const Operation *operation = &operations[index];
    if (finalizing()) return fail(FAILED, "%s: Python is shutting down", assay_names[index]);
    if (!PyGILState_GetThisThreadState()) { /* keep this thread's state: making one for every call is slow */
        PyGILState_Ensure();
        PyEval_SaveThread();
    }
    int state = PyGILState_Ensure(), code = OK;
    last_message()[0] = 0;
    long count = (long)strlen(operation->signature);
    Object *arguments = PyTuple_New(count), *result = NULL;
    for (long i = 0; i < count && !code; i++) {
        Object *argument = object_of(operation->signature[i], words[i], device);
        if (argument) PyTuple_SetItem(arguments, i, argument);
        else code = FAILED;
    }
    running = words;
    if (!code) result = PyObject_CallObject(operation->function, arguments);
    if (!result) {
        char reason[1024];
        snprintf(reason, sizeof reason, "%.1000s", last_message()[0] ? last_message() : "an argument could not be made");
        PyErr_Clear();
        code = fail(FAILED, "operator %s: %s", assay_names[index], reason);
    } else if (result != &_Py_NoneStruct) {
        const char *text = PyUnicode_AsUTF8AndSize(result, NULL);
        code = fail(FAILED, "operator %s: %s", assay_names[index], text ? text : "returned neither None nor a text");
        PyErr_Clear();
    }
    if (result) Py_DecRef(result);
    Py_DecRef(arguments);
    PyGILState_Release(state);
    return code;
}

/* For Python: a one-dimensional tensor over device memory, and a stamp on what a collective wrote. */
Object *assay_tensor_at(void *address, long long count, int dtype) {
    int64_t dims[1] = {count}, strides[1] = {1};
    size_t bytes = (size_t)(count * dtype_bytes(dtype));
    if (bytes && !living(address, bytes)) { fail(INVALID, "%p is no allocated device memory", address); return none(); }
    Object *capsule = capsule_of(address, dtype, 1, dims, strides);
    return capsule ? capsule : none();
}
void assay_written(void *address, long long bytes) { written(address, (size_t)bytes, COLLECTIVE); }
const struct Statistics *assay_statistics(void) { return &statistics; }
